package podrunner

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// kubeletPort is where API servers look for containers' output.
const kubeletPort = "10250"

// serveLogs answers kubectl logs, with --follow and --tail. All lives of a
// container write one file, so --previous makes no difference.
func (r *Runner) serveLogs(ctx context.Context) error {
	address := r.options.Network.Addr().String()
	authority, err := testbed.NewAuthority()
	if err != nil {
		return err
	}
	certificate, err := authority.Server(address)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(address, kubeletPort))
	if err != nil {
		return fmt.Errorf("serve logs: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", r.sendLog)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: time.Minute,
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{*certificate}},
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	r.all.Go(func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			r.options.Log.Error("logs are no longer served", "error", err)
		}
	})
	r.all.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	return nil
}

func (r *Runner) logFile(namespace, pod, container string) string {
	return filepath.Join(r.Logs(), fmt.Sprintf("%s_%s_%s.log", namespace, pod, container))
}

func (r *Runner) sendLog(w http.ResponseWriter, request *http.Request) {
	log, err := os.Open(r.logFile(request.PathValue("namespace"), request.PathValue("pod"), request.PathValue("container")))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	defer log.Close()
	text, err := io.ReadAll(log)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(tail(text, request.FormValue("tailLines")))
	if request.FormValue("follow") == "true" {
		follow(request.Context(), w, log)
	}
}

// tail gives the last lines of a text, all of it when the number is none.
func tail(text []byte, number string) []byte {
	lines, err := strconv.Atoi(number)
	if err != nil {
		return text
	}
	all := bytes.SplitAfter(text, []byte("\n"))
	if len(all[len(all)-1]) == 0 {
		all = all[:len(all)-1]
	}
	return bytes.Join(all[max(0, len(all)-lines):], nil)
}

// follow sends what is appended, until the client has had enough.
func follow(ctx context.Context, w http.ResponseWriter, log io.Reader) {
	const pause = 200 * time.Millisecond
	control := http.NewResponseController(w)
	for ctx.Err() == nil {
		if _, err := io.Copy(w, log); err != nil || control.Flush() != nil {
			return
		}
		wait(ctx, pause)
	}
}
