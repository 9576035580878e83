package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// What we are measured against, and with. @name@ stands for what differs.
var (
	//go:embed rivals/backend.conf
	backendConf string
	//go:embed rivals/handwritten.conf
	handwrittenConf string
	//go:embed rivals/haproxy.cfg
	haproxyConf string
)

// server is an nginx or HAProxy with a config of ours.
type server struct {
	*child
	dir  string
	port int
}

func fill(text string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(text)
}

// backends are two ports of one nginx: "old" and "new" is all that they say.
type backends struct {
	*server
	old, new int
}

func (b *bed) startBackends(ctx context.Context, at place) (backends, error) {
	ports, err := freePorts(2)
	if err != nil {
		return backends{}, err
	}
	conf := fill(backendConf, "@old@", loopback(ports[0]), "@new@", loopback(ports[1]))
	s, err := b.startNginx(ctx, conf, ports[1], at)
	return backends{s, ports[0], ports[1]}, err
}

func (b *bed) startHandwritten(ctx context.Context, to backends, at place) (*server, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	conf := fill(handwrittenConf, "@listen@", loopback(ports[0]), "@backend@", loopback(to.old))
	return b.startNginx(ctx, conf, ports[0], at)
}

// startNginx runs a config in a directory of its own, @dir@ in the config.
func (b *bed) startNginx(ctx context.Context, conf string, port int, at place) (*server, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	file, complaints := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "error.log")
	if err := os.WriteFile(file, []byte(fill(conf, "@dir@", dir)), 0o644); err != nil {
		return nil, err
	}
	c, err := launch(exec.Command(b.nginx, "-p", dir, "-c", file, "-e", complaints), at)
	if err != nil {
		return nil, err
	}
	return serving(ctx, &server{c, dir, port}, complaints)
}

func serving(ctx context.Context, s *server, complaints string) (*server, error) {
	if err := s.awaitPort(ctx, s.port, complaints); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// worker is the process that does the work: of nginx the only child.
func (s *server) worker() (int, error) {
	workers, err := children(s.pid())
	if err == nil && len(workers) != 1 {
		err = fmt.Errorf("%s has %d workers, 1 was expected", s.cmd.Path, len(workers))
	}
	if err != nil {
		return 0, err
	}
	return workers[0], nil
}

// startHAProxy lets it write its log to a file by its own standard output:
// one write per line, which costs it less than a datagram per line to a reader
// that has to be woken.
func (b *bed) startHAProxy(ctx context.Context, to backends, at place) (*server, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	file, complaints := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "stderr")
	conf := fill(haproxyConf, "@listen@", loopback(ports[0]), "@old@", loopback(to.old), "@new@", loopback(to.new))
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(b.haproxy, "-db", "-f", file)
	access, accessErr := os.OpenFile(filepath.Join(dir, "access.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	stderr, stderrErr := os.Create(complaints)
	if err := errors.Join(accessErr, stderrErr); err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = access, stderr
	c, err := launch(cmd, at)
	if err = errors.Join(err, access.Close(), stderr.Close()); err != nil {
		return nil, err
	}
	return serving(ctx, &server{c, dir, ports[0]}, complaints)
}

// emptyLog keeps the memory that the logs take bounded.
func (s *server) emptyLog() error { return os.Truncate(filepath.Join(s.dir, "access.log"), 0) }
