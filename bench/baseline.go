package main

import (
	"context"
	_ "embed"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// The configs of the backends and of the proxies that ours is compared with. Words
// like @listen@ are placeholders.
var (
	//go:embed baseline/backend.conf
	backendConf string
	//go:embed baseline/handwritten.conf
	handwrittenConf string
	//go:embed baseline/handwritten-split.conf
	handwrittenSplitConf string
	//go:embed baseline/haproxy.cfg
	haproxyConf string
)

// server is a running nginx or HAProxy.
type server struct {
	*process
	dir  string
	port int
}

func substitute(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}

// backends are two ports of one nginx, which answer "old" and "new".
type backends struct {
	*server
	old, new int
}

func (h *harness) startBackends(ctx context.Context, at cpuChoice) (backends, error) {
	ports, err := freePorts(2)
	if err != nil {
		return backends{}, err
	}
	conf := substitute(backendConf, "@old@", strconv.Itoa(ports[0]), "@new@", loopback(ports[1]))
	s, err := h.startNginx(ctx, conf, ports[1], at)
	return backends{s, ports[0], ports[1]}, err
}

// startHandwritten starts nginx with one of the configs that are written by hand.
func (h *harness) startHandwritten(ctx context.Context, conf string, to backends, at cpuChoice) (*server, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	conf = substitute(conf, "@listen@", loopback(ports[0]), "@old@", loopback(to.old), "@new@", loopback(to.new))
	return h.startNginx(ctx, conf, ports[0], at)
}

// startNginx runs nginx in a new directory, which is @dir@ in the config.
func (h *harness) startNginx(ctx context.Context, conf string, port int, at cpuChoice) (*server, error) {
	dir, err := h.folder()
	if err != nil {
		return nil, err
	}
	file, errorLog := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "error.log")
	if err := os.WriteFile(file, []byte(substitute(conf, "@dir@", dir)), 0o644); err != nil {
		return nil, err
	}
	c, err := startProcess(exec.Command(h.nginx, "-p", dir, "-c", file, "-e", errorLog), at)
	if err != nil {
		return nil, err
	}
	return waitUntilServing(ctx, &server{c, dir, port}, errorLog)
}

func waitUntilServing(ctx context.Context, s *server, errorLog string) (*server, error) {
	if err := s.waitForPort(ctx, s.port, errorLog); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// worker is the process id of nginx's only worker. It starts after the port is open.
func (s *server) worker(ctx context.Context) (pid int, err error) {
	err = poll(ctx, 10*time.Second, func() error {
		pid, err = onlyWorker(s.pid())
		return err
	})
	return pid, err
}

// startHAProxy starts HAProxy with its standard output, the access log, in a file:
// one write per line costs less than a datagram per line to another process.
func (h *harness) startHAProxy(ctx context.Context, to backends, at cpuChoice) (*server, error) {
	dir, err := h.folder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	file, errorLog := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "stderr")
	conf := substitute(haproxyConf, "@listen@", loopback(ports[0]), "@old@", loopback(to.old), "@new@", loopback(to.new))
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(h.haproxy, "-db", "-f", file)
	access, accessErr := os.OpenFile(filepath.Join(dir, "access.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	stderr, stderrErr := os.Create(errorLog)
	if err := errors.Join(accessErr, stderrErr); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = access, stderr
	c, err := startProcess(cmd, at)
	if err = errors.Join(err, access.Close(), stderr.Close()); err != nil {
		return nil, err
	}
	return waitUntilServing(ctx, &server{c, dir, ports[0]}, errorLog)
}

// truncateLog empties the access log, which may be in memory.
func (s *server) truncateLog() error { return os.Truncate(filepath.Join(s.dir, "access.log"), 0) }
