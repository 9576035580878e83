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

// serveCommand answers POST /trip/NAME and POST /clear/NAME.
func (b *Breaker) serveCommand(w http.ResponseWriter, r *http.Request) {
	verb, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	command := fallback.Command(verb)
	if r.Method != http.MethodPost || command != fallback.Trip && command != fallback.Clear {
		http.Error(w, "POST /trip/NAME or /clear/NAME", http.StatusBadRequest)
		return
	}
	if err := b.Command(migration.Name(name), command, r.Header.Get(headerBy), time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// SendCommand lets the agent of a runtime directory carry out a command. By is
// the name of the operator, for the evidence. The error is the agent's answer,
// or says that no agent answers.
func SendCommand(ctx context.Context, runtimeDir string, command fallback.Command, name migration.Name, by string) error {
	path := filepath.Join(runtimeDir, controlFolder, controlSocket)
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://agent/"+string(command)+"/"+string(name), nil)
	if err != nil {
		return fmt.Errorf("command %s: %w", command, err)
	}
	request.Header.Set(headerBy, by)
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("no agent answers at %s: %w; name its directory with --runtime-dir, and be its user", path, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode == http.StatusNoContent {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	return errors.Join(errors.New(strings.TrimSpace(string(text))), err)
}
