package demo

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

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/proxyclient"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// configFile is the name of the config in the sandbox's directory, where the
// commands of the demo run.
const configFile = "migration.yaml"

// configText is the config of the demo. The verbs are the addresses of the two
// clusters and the path of new's CA.
const configText = `# Three services of one team. Everything is prepared and still on old.
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
  - name: catalog
    old_host: catalog.example.com
    old_backend: http://%[1]s
    new_host: shop.new.example.com
    new_backend: https://%[2]s
    tls: {ca_file: %[3]s}
    migration:
      enabled: true
      strategy: weight
      percentage: 0
      ramp:
        steps: [20, 50]
        hold: 1s
        judge: {failures: {tolerate: 1, exclude: 3}, slow: {tolerate: 5, exclude: 20, allow: 1s}, max_extra: 1, min_requests: 300}
        back: {to: previous, by: 30, every: 1s}
    fallback: {max_failures: 500, failure_window: 3, recovery_time: 2}
`

// rampInterval is the length of a slot in which a ramp compares new with old.
const rampInterval = 500 * time.Millisecond

// statusTimeout is the time limit of one question to the proxy.
const statusTimeout = 3 * time.Second

// sandbox is a temporary directory with two clusters, and a proxy as a child
// process: this program, as users run it.
type sandbox struct {
	old, new     *cluster
	dir, config  string // the config is a path
	listen, http string // addresses of the proxy
	client       *proxyclient.Client
	executable   string
	proxy        *exec.Cmd
	exited       chan struct{} // closed when the proxy has ended; nil before it starts
}

// newSandbox starts everything and waits until the proxy is ready.
func newSandbox(ctx context.Context, nginx string) (_ *sandbox, err error) {
	s := &sandbox{client: proxyclient.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove())
		}
	}()
	if s.executable, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if strings.Contains(nginx, "/") { // the proxy runs in another directory
		if nginx, err = filepath.Abs(nginx); err != nil {
			return nil, fmt.Errorf("prepare the demo: %w", err)
		}
	}
	for _, step := range []func() error{s.makeDir, s.startClusters, s.writeConfig} {
		if err := step(); err != nil {
			return nil, fmt.Errorf("prepare the demo: %w", err)
		}
	}
	if err := s.startProxy(nginx); err != nil {
		return nil, fmt.Errorf("start the proxy: %w", err)
	}
	return s, s.awaitReady(ctx)
}

// makeDir makes a directory that nginx's workers can read when root runs the
// demo.
func (s *sandbox) makeDir() (err error) {
	if s.dir, err = os.MkdirTemp("", "migration-proxy-demo-"); err != nil {
		return err
	}
	return os.Chmod(s.dir, 0o755)
}

func (s *sandbox) caFile() string { return filepath.Join(s.dir, "ca.pem") }

func (s *sandbox) startClusters() error {
	const host = "shop.new.example.com"
	certificate, ca, err := newCertificate(host)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.caFile(), ca, 0o600); err != nil {
		return err
	}
	s.old = &cluster{name: "old"}
	s.new = &cluster{name: "new", host: host, certificate: certificate}
	return errors.Join(s.old.start(), s.new.start())
}

func (s *sandbox) writeConfig() error {
	s.config = filepath.Join(s.dir, configFile)
	text := fmt.Sprintf(configText, s.old.address, s.new.address, s.caFile())
	return os.WriteFile(s.config, []byte(text), 0o644)
}

func (s *sandbox) startProxy(nginx string) error {
	var listenNew string
	for _, address := range []*string{&s.listen, &listenNew, &s.http} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return err
		}
	}
	log, err := os.Create(s.logFile())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has a copy
	s.proxy = s.program(context.Background(), "run",
		"--listen", s.listen, "--listen-new", listenNew, "--http", s.http,
		"--runtime-dir", filepath.Join(s.dir, "run"), "--access-log", filepath.Join(s.dir, "access.log"),
		"--nginx", nginx, "--ramp-interval", rampInterval.String())
	s.proxy.Stdout, s.proxy.Stderr = log, log
	if err := s.proxy.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		defer close(s.exited)
		_ = s.proxy.Wait() // the log says why it ended
	}()
	return nil
}

func (s *sandbox) logFile() string { return filepath.Join(s.dir, "proxy.log") }

func (s *sandbox) awaitReady(ctx context.Context) error {
	ready := poll(ctx, timeout, func() bool {
		proxy, err := s.status(ctx)
		return err == nil && proxy.Ready || s.hasExited()
	})
	if ready && !s.hasExited() {
		return nil
	}
	log, _ := os.ReadFile(s.logFile()) // a log that cannot be read is shown as empty
	return fmt.Errorf("the proxy did not get ready:\n%s", bytes.TrimSpace(log))
}

func (s *sandbox) hasExited() bool {
	select {
	case <-s.exited:
		return true
	default:
		return false
	}
}

// program is a command of this program, with the environment variables of the
// demo and no others of this program. It has a process group of its own, so
// that Ctrl-C reaches only the demo.
func (s *sandbox) program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.executable, args...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, names.EnvironmentPrefix) {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	cmd.Env = append(cmd.Env, names.EnvironmentPrefix+"LOCAL_CONFIG="+configFile, names.EnvironmentPrefix+"HTTP="+s.http)
	cmd.Dir = s.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// status is the status of the proxy.
func (s *sandbox) status(ctx context.Context) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	document, _, err := s.client.Status(ctx, s.http)
	return document, err
}

// close cleans up after a demo that ended with err, and returns the error of
// the whole demo. A demo that failed by itself keeps its directory.
func (s *sandbox) close(ctx context.Context, err error) error {
	interrupted := err != nil && ctx.Err() != nil
	if err != nil && !interrupted {
		s.stop()
		return err
	}
	if err := s.remove(); err != nil || !interrupted {
		return err
	}
	return errInterrupted
}

// remove stops everything and removes the directory.
func (s *sandbox) remove() error {
	s.stop()
	if s.dir == "" {
		return nil
	}
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	return nil
}

// stop ends the proxy and the clusters.
func (s *sandbox) stop() {
	if s.exited != nil {
		s.stopProxy()
	}
	for _, cluster := range []*cluster{s.old, s.new} {
		if cluster != nil {
			cluster.kill()
		}
	}
}

// stopProxy lets requests finish first; the second SIGTERM does not wait for
// them.
func (s *sandbox) stopProxy() {
	for _, signal := range []os.Signal{syscall.SIGTERM, syscall.SIGTERM, os.Kill} {
		_ = s.proxy.Process.Signal(signal) // it may have ended
		select {
		case <-s.exited:
			return
		case <-time.After(5 * time.Second):
		}
	}
}
