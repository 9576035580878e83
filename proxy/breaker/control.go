package breaker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// The unix socket on which an operator commands, below the runtime directory.
// Only the agent's own user may enter its folder, so no other user can connect
// at any moment. The HTTP API changes nothing.
const (
	controlFolder = "control"
	controlSocket = "sock" // short: the path of a unix socket has at most 107 bytes
)

// headerBy is the request header with the name of the operator.
const headerBy = "Migration-Proxy-By"

// ServeCommands answers SendCommand until ctx ends.
func (b *Breaker) ServeCommands(ctx context.Context, runtimeDir string) error {
	listener, err := listenControl(filepath.Join(runtimeDir, controlFolder))
	if err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(b.serveCommand), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve control socket: %w", err)
	}
	return nil
}

// listenControl makes the folder private before the socket exists.
func listenControl(folder string) (net.Listener, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(folder, controlSocket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	return net.Listen("unix", path)
}

// serveCommand answers POST /trip/NAME and POST /clear/NAME. GET tells what POST would
// do.
func (b *Breaker) serveCommand(w http.ResponseWriter, r *http.Request) {
	verb, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	order := Order{Command: fallback.Command(verb), Service: migration.Name(name), By: r.Header.Get(headerBy)}
	if order.Command != fallback.Trip && order.Command != fallback.Clear {
		http.Error(w, "POST /trip/NAME or /clear/NAME", http.StatusBadRequest)
		return
	}
	switch r.Method {
	case http.MethodPost:
		if err := b.Command(order, time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet:
		plan, err := b.Plan(order, time.Now())
		if err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		_, _ = io.WriteString(w, plan) // the client repeats the command if the connection breaks
	default:
		http.Error(w, "POST /trip/NAME or /clear/NAME", http.StatusBadRequest)
	}
}

// SendCommand lets the agent of a runtime directory carry out an order. The error is the
// agent's answer, or says that no agent answers.
func SendCommand(ctx context.Context, runtimeDir string, order Order) error {
	_, err := ask(ctx, runtimeDir, http.MethodPost, order)
	return err
}

// AskPlan asks the agent what an order would change, and changes nothing.
func AskPlan(ctx context.Context, runtimeDir string, order Order) (string, error) {
	return ask(ctx, runtimeDir, http.MethodGet, order)
}

func ask(ctx context.Context, runtimeDir, method string, order Order) (string, error) {
	path := filepath.Join(runtimeDir, controlFolder, controlSocket)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://agent/"+string(order.Command)+"/"+string(order.Service), nil)
	if err != nil {
		return "", fmt.Errorf("command %s: %w", order.Command, err)
	}
	request.Header.Set(headerBy, order.By)
	response, err := client.Do(request)
	if err != nil {
		return "", fmt.Errorf("no agent answers at %s: %w; name its directory with --runtime-dir, and be its user", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && (response.StatusCode == http.StatusNoContent || response.StatusCode == http.StatusOK) {
		return string(text), nil
	}
	return "", errors.Join(errors.New(strings.TrimSpace(string(text))), err)
}
