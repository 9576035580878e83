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

	"github.com/migration-proxy/migration-proxy/internal/pause"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// kubeletPort is the port from which the API server reads container logs.
const kubeletPort = "10250"

// serveLogs serves kubectl logs, with --follow and --tail. All runs of a container
// write to one file, so --previous has no effect.
func (k *Kubelet) serveLogs(ctx context.Context) error {
	address := k.options.Network.Addr().String()
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
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.sendLog)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: time.Minute,
		TLSConfig:   &tls.Config{Certificates: []tls.Certificate{*certificate}},
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	k.all.Go(func() {
		if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
			k.options.Log.Error("log server failed", "error", err)
		}
	})
	k.all.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	return nil
}

func (k *Kubelet) logFile(namespace, pod, container string) string {
	return filepath.Join(k.Logs(), fmt.Sprintf("%s_%s_%s.log", namespace, pod, container))
}

func (k *Kubelet) sendLog(w http.ResponseWriter, request *http.Request) {
	log, err := os.Open(k.logFile(request.PathValue("namespace"), request.PathValue("pod"), request.PathValue("container")))
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

// tail gives the last lines of a text, or the whole text if number is not a number.
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

// follow sends appended text until the client disconnects.
func follow(ctx context.Context, w http.ResponseWriter, log io.Reader) {
	const interval = 200 * time.Millisecond
	control := http.NewResponseController(w)
	for ctx.Err() == nil {
		if _, err := io.Copy(w, log); err != nil || control.Flush() != nil {
			return
		}
		pause.For(ctx, interval)
	}
}
