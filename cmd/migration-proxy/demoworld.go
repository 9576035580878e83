package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// demoWorld is two clusters, a folder, and a proxy as a child process: this
// very program, as users run it.
type demoWorld struct {
	old, new     *testbed.Backend
	dir, config  string
	listen, http string // addresses of the proxy
	program      string
	proxy        *exec.Cmd
	ended        chan struct{} // closed when the proxy has ended
}

// demoFile is the config's name; the demo's commands run in its folder.
const demoFile = "migration.yaml"

// demoConfig is what the demo's user has written.
const demoConfig = `# Two services of one team. Everything is prepared and still on old.
services:
  - name: shop
    old_host: shop.example.com
    old_backend: http://%[1]s
    new_host: shop.new.example.com
    new_backend: https://%[2]s
    tls: {ca_file: %[3]s}
    migration:
      enabled: true
      strategy: weight
      percentage: 0
    canary:
      header_rules:
        - {header: X-Migration-Target, value: new, target: new_cluster}
    # Seconds instead of minutes, so that the demo can show the way back.
    fallback: {max_failures: 5, failure_window: 3, recovery_time: 2}
    health_check: {interval: 250ms, timeout: 1s}
  - name: account
    old_host: account.example.com
    old_backend: http://%[1]s
    new_host: shop.new.example.com
    new_backend: https://%[2]s
    tls: {ca_file: %[3]s}
    migration:
      enabled: true
      strategy: user_hash
      hash_key: header:X-User-ID
      percentage: 0
`

// newDemoWorld starts all of it and waits until the proxy is ready.
func newDemoWorld(ctx context.Context, nginx string) (_ *demoWorld, err error) {
	w := &demoWorld{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.remove())
		}
	}()
	if w.program, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	for _, build := range []func() error{w.makeDir, w.startClusters, w.writeConfig, w.choosePorts} {
		if err := build(); err != nil {
			return nil, fmt.Errorf("prepare the demo: %w", err)
		}
	}
	if strings.Contains(nginx, "/") { // the proxy runs in another folder
		if nginx, err = filepath.Abs(nginx); err != nil {
			return nil, fmt.Errorf("prepare the demo: %w", err)
		}
	}
	return w, w.startProxy(ctx, nginx)
}

// makeDir makes a folder that nginx's workers can read when root runs this.
func (w *demoWorld) makeDir() (err error) {
	if w.dir, err = os.MkdirTemp("", "migration-proxy-demo-"); err != nil {
		return err
	}
	return os.Chmod(w.dir, 0o755)
}

func (w *demoWorld) startClusters() error {
	authority, err := testbed.NewAuthority()
	if err != nil {
		return err
	}
	certificate, err := authority.Server("shop.new.example.com")
	if err != nil {
		return err
	}
	if _, err := authority.WriteCA(w.dir); err != nil {
		return err
	}
	if w.old, err = testbed.Start(testbed.Options{Name: "old"}); err != nil {
		return err
	}
	w.new, err = testbed.Start(testbed.Options{
		Name: "new", Certificate: certificate, Hosts: []string{"shop.new.example.com"},
	})
	return err
}

func (w *demoWorld) writeConfig() error {
	w.config = filepath.Join(w.dir, demoFile)
	text := fmt.Sprintf(demoConfig, w.old.Addr(), w.new.Addr(), filepath.Join(w.dir, "ca.pem"))
	return os.WriteFile(w.config, []byte(text), 0o644)
}

func (w *demoWorld) choosePorts() error {
	for _, address := range []*string{&w.listen, &w.http} {
		port, err := testbed.FreePort()
		if err != nil {
			return err
		}
		*address = fmt.Sprintf("127.0.0.1:%d", port)
	}
	return nil
}

func (w *demoWorld) startProxy(ctx context.Context, nginx string) error {
	direct, err := testbed.FreePort()
	if err != nil {
		return err
	}
	log, err := os.Create(w.logFile())
	if err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	w.proxy = w.self(context.Background(), "run",
		"--listen", w.listen, "--listen-new", fmt.Sprintf("127.0.0.1:%d", direct), "--http", w.http,
		"--runtime-dir", filepath.Join(w.dir, "run"), "--access-log", filepath.Join(w.dir, "access.log"),
		"--nginx", nginx)
	w.proxy.Stdout, w.proxy.Stderr = log, log
	if err := w.proxy.Start(); err != nil {
		return fmt.Errorf("start the proxy: %w", err)
	}
	w.ended = make(chan struct{})
	go func() {
		defer close(w.ended)
		_ = w.proxy.Wait() // its log says why
	}()
	return w.awaitReady(ctx)
}

func (w *demoWorld) logFile() string { return filepath.Join(w.dir, "proxy.log") }

func (w *demoWorld) awaitReady(ctx context.Context) error {
	ready := poll(ctx, demoPatience, func() bool {
		now, _, err := w.client().status(ctx)
		return err == nil && now.Ready || w.hasEnded()
	})
	if ready && !w.hasEnded() {
		return nil
	}
	said, _ := os.ReadFile(w.logFile()) // nothing said is said as nothing
	return fmt.Errorf("the proxy did not get ready:\n%s", bytes.TrimSpace(said))
}

func (w *demoWorld) hasEnded() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// self is this program with the demo's environment and no other's. It has a
// process group of its own, so that Ctrl-C reaches the demo first.
func (w *demoWorld) self(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.program, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, environmentPrefix) {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, environmentPrefix+"LOCAL_CONFIG="+demoFile, environmentPrefix+"HTTP="+w.http)
	cmd.Dir = w.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func (w *demoWorld) client() *proxyClient { return &proxyClient{address: w.http} }

func (w *demoWorld) table() (*migration.Table, error) {
	text, err := os.ReadFile(w.config)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	return config.Load(w.config, text)
}

// stop ends the proxy, gracefully if it can, and the clusters.
func (w *demoWorld) stop() {
	if w.ended != nil {
		w.endProxy()
	}
	for _, backend := range []*testbed.Backend{w.old, w.new} {
		if backend != nil {
			backend.Kill()
		}
	}
}

// endProxy asks twice, the second time to be quick, before it kills.
func (w *demoWorld) endProxy() {
	for _, ask := range []os.Signal{syscall.SIGTERM, syscall.SIGTERM, os.Kill} {
		_ = w.proxy.Process.Signal(ask) // it may have ended
		select {
		case <-w.ended:
			return
		case <-time.After(5 * time.Second):
		}
	}
}

// leave cleans up after a demonstration. One that failed keeps its logs.
func (w *demoWorld) leave(ctx context.Context, failure error) error {
	interrupted := failure != nil && ctx.Err() != nil
	if failure != nil && !interrupted {
		w.stop()
		return failure
	}
	if err := w.remove(); err != nil || !interrupted {
		return err
	}
	return errInterrupted
}

// remove stops all and leaves nothing behind.
func (w *demoWorld) remove() error {
	w.stop()
	if w.dir == "" {
		return nil
	}
	if err := os.RemoveAll(w.dir); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}
