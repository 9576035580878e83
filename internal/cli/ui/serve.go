package ui

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/pageserver"
)

// Options say where the page is.
type Options struct {
	Port int  // 0: any free one
	Open bool // open it in the user's browser
}

// The times between two readings of the cluster, while somebody looks.
const (
	interval       = 2 * time.Second
	detailInterval = 15 * time.Second
	headerTimeout  = 5 * time.Second
)

// Serve serves the page until ctx ends, and prints its address.
func Serve(ctx context.Context, w io.Writer, in *installation.Installation, options Options) error {
	listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(options.Port)))
	if err != nil {
		return fmt.Errorf("listen for the page: %w; choose another port with --port", err)
	}
	secret := "/" + rand.Text()
	server := &http.Server{
		Handler: behind(secret, handler(in)), ReadHeaderTimeout: headerTimeout, MaxHeaderBytes: 64 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	address := "http://" + listener.Addr().String() + secret + "/"
	if _, err := fmt.Fprintf(w, "%s\nThe page is for you alone: its address is a secret of this run. Ctrl-C ends it.\n", address); err != nil {
		return errors.Join(err, listener.Close())
	}
	if options.Open {
		if err := openBrowser(ctx, address); err != nil {
			fmt.Fprintf(w, "no browser: %v\n", err)
		}
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Serve(listener) }()
	select {
	case err := <-stopped:
		return fmt.Errorf("serve the page: %w", err)
	case <-ctx.Done():
		return server.Close()
	}
}

func handler(in *installation.Installation) http.Handler {
	from := &source{in: in}
	return pageserver.New(pageserver.Options{
		Source: from, Place: from.place(), Interval: interval, DetailInterval: detailInterval,
		Allow: func(host string) bool { return host == "127.0.0.1" || strings.EqualFold(host, "localhost") },
	})
}

// behind serves what is below the secret. Addresses in the page are relative to it.
func behind(secret string, page http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(secret+"/", http.StripPrefix(secret, page))
	return mux
}

func openBrowser(ctx context.Context, address string) error {
	program := "xdg-open"
	if runtime.GOOS == "darwin" {
		program = "open"
	}
	if err := exec.CommandContext(ctx, program, address).Start(); err != nil {
		return fmt.Errorf("open the page: %w", err)
	}
	return nil
}
