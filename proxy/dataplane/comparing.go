package dataplane

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// startTime is how long nginx may take to serve a table: names are resolved before.
const startTime = 60 * time.Second

// Comparing is an nginx without ports, in a directory of its own, on which both sides of
// the services of a table can be asked as they are asked for clients.
type Comparing struct {
	sampling.Asker
	end  context.CancelFunc
	done chan error
	dir  string
}

// StartComparing starts nginx and waits until it serves the table. Services with gRPC are
// not served. Scheme is what clients use. The caller closes the result.
func StartComparing(ctx context.Context, table *migration.Table, nginx, scheme string) (*Comparing, error) {
	table, err := withoutGRPC(table)
	if err != nil {
		return nil, err
	}
	roots, err := findRootCerts()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mp-compare-") // short: the path of a unix socket has 107 bytes
	if err != nil {
		return nil, fmt.Errorf("make a directory for nginx: %w", err)
	}
	c := &Comparing{dir: dir, done: make(chan error, 1)}
	c.Dir, c.Scheme, c.Errors = filepath.Join(dir, "run"), scheme, &sampling.Errors{}
	agent, err := c.newAgent(ctx, nginx, roots)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	c.end = end
	go func() { c.done <- agent.Run(running, errorObserver{c.Errors}) }()
	agent.ApplyTable(table, "the migration config")
	if err := c.await(ctx, agent, table); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Comparing) newAgent(ctx context.Context, nginx string, roots rootCerts) (*proxy.Agent, error) {
	if err := os.Chmod(c.dir, 0o711); err != nil { // root's workers are another user
		return nil, err
	}
	return proxy.New(ctx, proxy.Options{
		NginxPath: nginx, Log: slog.New(slog.DiscardHandler), QuitTimeout: time.Second,
		Params: nginxgen.Params{
			RuntimeDir: c.Dir, Workers: 1, Compare: true,
			CAFile: roots.file, CADir: roots.dir, AnchorFile: roots.anchor,
		},
	})
}

// await waits until nginx serves the table, or says why it does not.
func (c *Comparing) await(ctx context.Context, agent *proxy.Agent, table *migration.Table) error {
	timeout := time.After(startTime)
	for {
		config := agent.Summary().Config
		switch {
		case config.Digest == table.Digest():
			return nil
		case config.Rejected != nil:
			return fmt.Errorf("nginx does not take the config: %s", strings.Join(config.Rejected.Problems, "; "))
		}
		select {
		case err := <-c.done:
			c.done <- nil
			return errors.Join(errors.New("nginx has ended"), err)
		case <-ctx.Done():
			return ctx.Err()
		case <-timeout:
			return fmt.Errorf("nginx does not serve the config within %s: %s", startTime, problemOf(agent.Summary()))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func problemOf(s status.Status) string {
	if s.Nginx.LastError != "" {
		return s.Nginx.LastError
	}
	return "it is not ready"
}

// Close ends nginx and removes its directory.
func (c *Comparing) Close() error {
	c.end()
	return errors.Join(<-c.done, os.RemoveAll(c.dir))
}

// withoutGRPC gives the table without services that cannot be compared.
func withoutGRPC(table *migration.Table) (*migration.Table, error) {
	kept := slices.DeleteFunc(slices.Clone(table.Services()), func(s migration.Service) bool { return s.GRPC() })
	return migration.NewTable(table.Global(), kept)
}

// errorObserver passes nginx's error log on.
type errorObserver struct{ errors *sampling.Errors }

// ConfigApplied implements proxy.Observer.
func (errorObserver) ConfigApplied(*migration.Table) {}

// ShareApplied implements proxy.Observer.
func (errorObserver) ShareApplied(migration.Name, migration.Share) {}

// NginxLogged implements proxy.Observer.
func (o errorObserver) NginxLogged(line string) { o.errors.Observe(line, time.Now()) }
