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
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// An operator commands through a unix socket in the runtime directory, which
// only the agent's own user may open. The HTTP API changes nothing.
const controlSocket = "control.sock"

// Serve obeys commands until ctx ends.
func (g *Breaker) Serve(ctx context.Context, runtimeDir string) error {
	path := filepath.Join(runtimeDir, controlSocket)
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("control socket: %w", err)
	}
	// Nobody else may connect in the moment before chmod, either.
	before := syscall.Umask(0o177)
	listener, err := net.Listen("unix", path)
	syscall.Umask(before)
	if err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	server := &http.Server{Handler: http.HandlerFunc(g.command), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

// command is POST /trip/NAME or POST /clear/NAME.
func (g *Breaker) command(w http.ResponseWriter, r *http.Request) {
	verb, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	command := fallback.Command(verb)
	if r.Method != http.MethodPost || command != fallback.Trip && command != fallback.Clear {
		http.Error(w, "POST /trip/NAME or /clear/NAME", http.StatusBadRequest)
		return
	}
	if err := g.Command(migration.Name(name), command, r.Header.Get(headerBy), time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

const headerBy = "Migration-Proxy-By"

// Send lets the agent of a runtime directory carry out a command. By names
// the operator, for the evidence.
func Send(ctx context.Context, runtimeDir string, command fallback.Command, name migration.Name, by string) error {
	path := filepath.Join(runtimeDir, controlSocket)
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
