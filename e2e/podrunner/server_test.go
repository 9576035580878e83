package podrunner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serveArgument makes this program the server of a Pod. With "exit N" it ends with
// that status, with "touch PATH" it creates a file, otherwise it listens.
const serveArgument = "serve"

// broken is a file that makes the server unhealthy while it exists.
const broken = "/data/broken"

func serve(arguments []string) int {
	if len(arguments) == 2 && arguments[0] == "exit" {
		status, err := strconv.Atoi(arguments[1])
		if err != nil {
			return 2
		}
		return status
	}
	if len(arguments) == 2 && arguments[0] == "touch" {
		return printError(os.WriteFile(arguments[1], nil, 0o644))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Print("one\ntwo\nserves\n")
	server := &http.Server{Addr: ":80", Handler: routes()}
	context.AfterFunc(ctx, func() {
		fmt.Println("terminating")
		_ = server.Close()
	})
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return printError(err)
	}
	return 0
}

func printError(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func routes() http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, give func(r *http.Request) (string, error)) {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			text, err := give(r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = io.WriteString(w, text)
		})
	}
	answer("/healthy", func(*http.Request) (string, error) {
		if _, err := os.Stat(broken); err == nil {
			return "", errors.New("broken")
		}
		return "healthy", nil
	})
	answer("/break", func(*http.Request) (string, error) { return "", os.WriteFile(broken, nil, 0o644) })
	answer("/repair", func(*http.Request) (string, error) { return "", os.Remove(broken) })
	answer("/read", func(r *http.Request) (string, error) {
		text, err := os.ReadFile(r.FormValue("path"))
		return string(text), err
	})
	answer("/write", func(r *http.Request) (string, error) { return "", os.WriteFile(r.FormValue("path"), nil, 0o644) })
	answer("/env", func(r *http.Request) (string, error) { return os.Getenv(r.FormValue("name")), nil })
	answer("/user", func(*http.Request) (string, error) { return strconv.Itoa(os.Getuid()), nil })
	answer("/account", account)
	answer("/get", func(r *http.Request) (string, error) {
		got, err := http.Get(r.FormValue("url"))
		if err != nil {
			return "", err
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		return string(text), err
	})
	return mux
}

// account gives the user that the Pod has for the API server.
func account(r *http.Request) (string, error) {
	config, err := rest.InClusterConfig()
	if err != nil {
		return "", err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", err
	}
	review, err := client.AuthenticationV1().SelfSubjectReviews().Create(r.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return review.Status.UserInfo.Username, nil
}
