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

	"github.com/prometheus/procfs"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// The log messages of the proxy whose times bench reads, in their order.
const (
	configRead    = "Configuration changed, updating components..."
	configInForce = "config in force"
)

// proxyProcess is a running `migration-proxy run --local-config` with one worker.
type proxyProcess struct {
	*process
	dir     string // of the config file and the runtime directory
	port    int    // for traffic
	portNew int    // for traffic that always goes to new
	http    int    // for /ready and the other endpoints
	log     chan logLine
}

type logLine struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"`
	Msg   string    `json:"msg"`
	text  string
}

// startProxy starts a proxy and waits until it serves the config.
func (h *harness) startProxy(ctx context.Context, config string, at cpuChoice) (*proxyProcess, error) {
	dir, err := h.folder()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	p := &proxyProcess{dir: dir, port: ports[0], portNew: ports[1], http: ports[2], log: make(chan logLine, 1<<16)}
	if err := p.replace(config); err != nil {
		return nil, err
	}
	cmd := exec.Command(h.proxy, "run", "--local-config", p.file(), "--runtime-dir", p.runtimeDir(), "--nginx", h.nginx, "--workers", "1", "--log-format", "json",
		"--listen", loopback(ports[0]), "--listen-new", loopback(ports[1]), "--http", loopback(ports[2]))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if p.process, err = startProcess(cmd, at); err != nil {
		return nil, err
	}
	go p.readLog(stderr)
	if err := p.waitForReady(ctx); err != nil {
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

func (p *proxyProcess) file() string       { return filepath.Join(p.dir, "migration.yaml") }
func (p *proxyProcess) runtimeDir() string { return filepath.Join(p.dir, "run") }
func (p *proxyProcess) conf() string       { return filepath.Join(p.runtimeDir(), "current", "nginx.conf") }

// replace replaces the config file by a rename.
func (p *proxyProcess) replace(config string) error {
	draft := p.file() + ".new"
	if err := os.WriteFile(draft, []byte(config), 0o644); err != nil {
		return err
	}
	return os.Rename(draft, p.file())
}

func (p *proxyProcess) readLog(from io.Reader) {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := logLine{text: lines.Text()}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line.Level = "ERROR" // not a log line: for example a panic
		}
		p.log <- line
	}
	close(p.log)
}

// waitFor gives the time at which the proxy logged msg, from the lines that were
// not read yet. An error in the log ends the measurement.
func (p *proxyProcess) waitFor(ctx context.Context, msg string) (time.Time, error) {
	timeout := time.NewTimer(5 * time.Minute)
	defer timeout.Stop()
	for {
		select {
		case line, more := <-p.log:
			switch {
			case !more:
				return time.Time{}, errors.New("migration-proxy has ended")
			case line.Level == "ERROR":
				return time.Time{}, fmt.Errorf("migration-proxy logged an error: %s", line.text)
			case line.Msg == msg:
				return line.Time, nil
			}
		case <-timeout.C:
			return time.Time{}, fmt.Errorf("migration-proxy did not log %q within 5 minutes", msg)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func (p *proxyProcess) waitForReady(ctx context.Context) error {
	if _, err := p.waitFor(ctx, configInForce); err != nil {
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

func (p *proxyProcess) master() (int, error) {
	return readPID(filepath.Join(p.runtimeDir(), "nginx.pid"))
}

func (p *proxyProcess) workers() ([]procfs.ProcStat, error) {
	master, err := p.master()
	if err != nil {
		return nil, err
	}
	return testbed.Children(master)
}

// worker is the process id of nginx's only worker.
func (p *proxyProcess) worker() (int, error) {
	master, err := p.master()
	if err != nil {
		return 0, err
	}
	return onlyWorker(master)
}

// stop ends the proxy, and nginx as well if the proxy died before it.
func (p *proxyProcess) stop() {
	p.process.stop()
	master, err := p.master()
	if err != nil {
		return
	}
	if command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", master)); err == nil && strings.Contains(string(command), p.dir) {
		_ = syscall.Kill(master, syscall.SIGTERM) // an error means that it has ended
	}
}
