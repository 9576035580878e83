package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// What the proxy's log says of a config, in order. bench reads the moments.
const (
	configRead    = "Configuration changed, updating components..."
	configInForce = "config in force"
)

// plane is a running `migration-proxy run --local-config` with one worker.
type plane struct {
	*child
	dir     string // with the config file and the runtime directory
	port    int    // traffic
	portNew int    // traffic that goes to new, always
	http    int    // /ready and the like
	log     chan logLine
}

type logLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Msg   string    `json:"msg"`
	text  string
}

// startPlane starts one and waits until it serves the config.
func (b *bed) startPlane(ctx context.Context, config string, at place) (*plane, error) {
	dir, err := b.folder()
	if err != nil {
		return nil, err
	}
	p := &plane{dir: dir}
	if err := p.replace(config); err != nil {
		return nil, err
	}
	return b.run(ctx, p, at, exec.Command(b.proxy, "run", "--local-config", p.file()))
}

// run starts a plane in its folder, by a command that says where its config
// comes from, and waits until it serves it.
func (b *bed) run(ctx context.Context, p *plane, at place, cmd *exec.Cmd) (*plane, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	p.port, p.portNew, p.http, p.log = ports[0], ports[1], ports[2], make(chan logLine, 1<<16)
	cmd.Args = append(cmd.Args, "--runtime-dir", p.runtimeDir(), "--nginx", b.nginx, "--workers", "1", "--log-format", "json",
		"--listen", loopback(ports[0]), "--listen-new", loopback(ports[1]), "--http", loopback(ports[2]))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if p.child, err = launch(cmd, at); err != nil {
		return nil, err
	}
	go p.readLog(stderr)
	if err := p.awaitReady(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		port, err := testbed.FreePort()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

func (p *plane) file() string       { return filepath.Join(p.dir, "migration.yaml") }
func (p *plane) runtimeDir() string { return filepath.Join(p.dir, "run") }
func (p *plane) conf() string       { return filepath.Join(p.runtimeDir(), "current", "nginx.conf") }

// replace puts another text in the file's place in one step.
func (p *plane) replace(config string) error {
	draft := p.file() + ".new"
	if err := os.WriteFile(draft, []byte(config), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, p.file())
}

func (p *plane) readLog(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := logLine{text: lines.Text()}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line.Level = "ERROR" // not a log line: a panic or the like
		}
		p.log <- line
	}
	close(p.log)
}

// await gives the moment at which the proxy logged msg, from the lines that
// were not read yet. An error in the log ends the measurement.
func (p *plane) await(ctx context.Context, msg string) (time.Time, error) {
	patience := time.NewTimer(5 * time.Minute)
	defer patience.Stop()
	for {
		select {
		case line, more := <-p.log:
			switch {
			case !more:
				return time.Time{}, errors.New("migration-proxy has ended")
			case line.Level == "ERROR":
				return time.Time{}, fmt.Errorf("migration-proxy says %s", line.text)
			case line.Msg == msg:
				return line.Time, nil
			}
		case <-patience.C:
			return time.Time{}, fmt.Errorf("migration-proxy did not log %q within 5 minutes", msg)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func (p *plane) awaitReady(ctx context.Context) error {
	if _, err := p.await(ctx, configInForce); err != nil {
		return err
	}
	return poll(ctx, 10*time.Second, func() error {
		answer, err := http.Get("http://" + loopback(p.http) + "/ready")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err == nil && answer.StatusCode != http.StatusOK {
			err = fmt.Errorf("not ready: %s", text)
		}
		return err
	})
}

func (p *plane) master() (int, error) { return readPID(filepath.Join(p.runtimeDir(), "nginx.pid")) }

func (p *plane) workers() ([]int, error) {
	master, err := p.master()
	if err != nil {
		return nil, err
	}
	return children(master)
}

// worker is the only one.
func (p *plane) worker() (int, error) {
	workers, err := p.workers()
	if err == nil && len(workers) != 1 {
		err = fmt.Errorf("nginx has %d workers, 1 was expected", len(workers))
	}
	if err != nil {
		return 0, err
	}
	return workers[0], nil
}

// stop ends the proxy, and nginx too should the proxy have died before it.
func (p *plane) stop() {
	p.child.stop()
	master, err := p.master()
	if err != nil {
		return
	}
	if command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", master)); err == nil && strings.Contains(string(command), p.dir) {
		_ = syscall.Kill(master, syscall.SIGTERM) // it may have ended
	}
}
