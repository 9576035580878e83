package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

func main() { os.Exit(run(os.Args[1:])) }

// role runs until the context ends. It adds its handlers to the control port first.
type role func(ctx context.Context, args []string, control *http.ServeMux) error

var roles = map[string]role{"backend": runBackend, "controller": runController, "traffic": runTraffic}

func run(args []string) int {
	if len(args) == 0 || roles[args[0]] == nil {
		fmt.Fprintln(os.Stderr, "usage: actor backend|controller|traffic [flags]")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	control := http.NewServeMux()
	control.HandleFunc("GET "+wire.PathHealth, func(http.ResponseWriter, *http.Request) {})
	if err := roles[args[0]](ctx, args[1:], control); err != nil {
		slog.Error("actor ended", "role", args[0], "err", err)
		return 1
	}
	return 0
}

// flags parses the flags of a role. Further arguments are an error.
func flags(name string, args []string, define func(*flag.FlagSet)) error {
	set := flag.NewFlagSet("actor "+name, flag.ContinueOnError)
	define(set)
	if err := set.Parse(args); err != nil {
		return err
	}
	if set.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", set.Arg(0))
	}
	return nil
}

// serve answers on the port until the context ends, then waits for the requests in
// flight.
func serve(ctx context.Context, port int, handler http.Handler) error {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	return serveBy(ctx, &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}, listener)
}

func serveBy(ctx context.Context, server *http.Server, listener net.Listener) error {
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(last); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return server.Close()
}

// exchange is a handler that decodes the body into a Q and answers with an A.
func exchange[Q, A any](answer func(context.Context, Q) (A, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var question Q
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		got, err := answer(r.Context(), question)
		reply(w, got, err)
	}
}

// reply writes the value as JSON, or the error with status 400.
func reply(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client sees a truncated body
}
