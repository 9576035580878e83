package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

const (
	newHost     = "new.example.com"
	waitTimeout = time.Minute
	workers     = 2
)

// proxyRun is one running proxy with a directory of its own.
type proxyRun struct {
	t                    *testing.T
	dir, config, runtime string
	listen, http         string
	authority            *testbed.Authority
	wrap                 []string // a command that runs the agent
	flags                []string // further ones of the agent
	accessLog            string
	stdout               *os.File
	agent                *exec.Cmd
	ended                chan struct{}
}

func newProxyRun(t *testing.T) *proxyRun {
	t.Helper()
	dir, err := os.MkdirTemp("", "mpf") // short: the path of a unix socket has at most 107 bytes
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	w := &proxyRun{
		t: t, dir: dir, config: filepath.Join(dir, "migration.yaml"), runtime: filepath.Join(dir, "run"),
		listen: proxyprocess.FreeAddress(t), http: proxyprocess.FreeAddress(t), accessLog: filepath.Join(dir, "access.log"),
	}
	t.Cleanup(w.remove)
	w.authority, err = testbed.NewAuthority()
	require.NoError(t, err)
	_, err = w.authority.WriteCA(dir)
	require.NoError(t, err)
	return w
}

// service is a service of a config: NAME.example.com, with further lines.
func (w *proxyRun) service(name, old, new string, more ...string) string {
	text := fmt.Sprintf(`  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: %[2]s
    new_host: %[3]s
    new_backend: %[4]s
`, name, old, newHost, new)
	if strings.HasPrefix(new, "https:") {
		text += fmt.Sprintf("    tls: {ca_file: %s}\n", filepath.Join(w.dir, "ca.pem"))
	}
	return text + strings.Join(append(more, ""), "\n")
}

const (
	percent100   = "    migration: {enabled: true, percentage: 100}"
	percent50    = "    migration: {enabled: true, percentage: 50}"
	percent0     = "    migration: {enabled: true, percentage: 0}"
	noTrip       = "    fallback: {max_failures: 100000}"
	shortTimeout = "    timeout: 500ms"
	longTimeout  = "    timeout: 10s"
	configHead   = "services:\n"
)

// start writes the config, starts the agent and waits until it is ready.
func (w *proxyRun) start(services ...string) {
	w.t.Helper()
	w.write(configHead + strings.Join(services, ""))
	w.startAgent()
	w.waitFor("ready", func(s status.Status) bool { return s.Ready })
}

// write replaces the config by a rename.
func (w *proxyRun) write(text string) {
	w.t.Helper()
	draft := filepath.Join(w.dir, ".draft")
	require.NoError(w.t, os.WriteFile(draft, []byte(text), 0o644))
	require.NoError(w.t, os.Rename(draft, w.config))
}

func (w *proxyRun) startAgent() {
	w.t.Helper()
	log, err := os.OpenFile(w.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	require.NoError(w.t, err)
	defer log.Close() // the process has its own descriptor
	args := append(w.wrap, program, "run", "--local-config", w.config, "--listen", w.listen, "--listen-new", proxyprocess.FreeAddress(w.t),
		"--http", w.http, "--runtime-dir", w.runtime, "--access-log", w.accessLog, "--workers", strconv.Itoa(workers), "--nginx", testbed.Nginx())
	args = append(args, w.flags...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr, cmd.Stdout = log, log
	if w.stdout != nil {
		cmd.Stdout = w.stdout
	}
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(w.t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the log has the reason
	}()
	w.agent, w.ended = cmd, ended
}

// environment is our environment without settings of a proxy.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MIGRATION_PROXY_") {
			kept = append(kept, variable)
		}
	}
	return kept
}

func (w *proxyRun) logFile() string { return filepath.Join(w.dir, "proxy.log") }

// signal sends a signal to the agent only.
func (w *proxyRun) signal(signal syscall.Signal) { _ = w.agent.Process.Signal(signal) }

// killAgent kills the agent with SIGKILL and waits for its end.
func (w *proxyRun) killAgent() {
	w.signal(syscall.SIGKILL)
	<-w.ended
}

// remove ends all processes, in whatever state the test left them.
func (w *proxyRun) remove() {
	if w.agent != nil {
		w.signal(syscall.SIGCONT)
		w.signal(syscall.SIGTERM)
		w.signal(syscall.SIGTERM) // the second one does not wait for requests
		select {
		case <-w.ended:
		case <-time.After(10 * time.Second):
			w.killAgent()
		}
	}
	if pid := w.master(); pid > 1 {
		_ = syscall.Kill(-pid, syscall.SIGKILL) // it runs only if its agent was killed
	}
	if w.t.Failed() {
		w.t.Logf("log of the agent:\n%s", tail(w.logFile()))
		w.t.Logf("error log of nginx:\n%s", tail(filepath.Join(w.runtime, "error.log")))
	}
	_ = os.RemoveAll(w.dir)
}

func tail(file string) []byte {
	text, _ := os.ReadFile(file)
	return text[max(0, len(text)-4000):]
}

// master is nginx's process id; 0 when there is none.
func (w *proxyRun) master() int {
	text, err := os.ReadFile(filepath.Join(w.runtime, "nginx.pid"))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(string(bytes.TrimSpace(text)))
	return pid
}

var api = http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

func (w *proxyRun) get(path string) ([]byte, error) {
	response, err := api.Get("http://" + w.http + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func (w *proxyRun) status() (now status.Status, err error) {
	text, err := w.get("/status")
	if err == nil {
		err = json.Unmarshal(text, &now)
	}
	return now, err
}

// waitFor waits until the status meets the condition.
func (w *proxyRun) waitFor(what string, condition func(status.Status) bool) status.Status {
	w.t.Helper()
	var now status.Status
	var err error
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if now, err = w.status(); err == nil && condition(now) {
			return now
		}
	}
	require.FailNow(w.t, "timed out: "+what, "%v %+v", err, now)
	return now
}

// metric adds up the samples whose name and labels contain all the words.
func (w *proxyRun) metric(words ...string) float64 {
	text, err := w.get("/metrics")
	require.NoError(w.t, err)
	sum := 0.0
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if containsAll(name, words) {
			number, _ := strconv.ParseFloat(value, 64)
			sum += number
		}
	}
	return sum
}

func containsAll(text string, words []string) bool {
	for _, word := range words {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// row is a service's row of the status.
func (w *proxyRun) row(name string) status.Service {
	now, err := w.status()
	require.NoError(w.t, err)
	for _, s := range now.Services {
		if s.Name == name {
			return s
		}
	}
	require.Fail(w.t, "no such service", name)
	return status.Service{}
}

// describeService summarizes a service's status and metrics.
func (w *proxyRun) describeService(name string) string {
	row, label := w.row(name), fmt.Sprintf("service=%q", name)
	text := string(row.Phase)
	for _, side := range []string{"new", "old"} {
		for _, kind := range []string{"connect", "timeout", "reset", "status"} {
			if n := w.metric("upstream_failures_total{", label, fmt.Sprintf("side=%q", side), fmt.Sprintf("kind=%q", kind)); n > 0 {
				text += fmt.Sprintf("; %s failed: %s %.0f", side, kind, n)
			}
		}
	}
	return text + fmt.Sprintf("; rescued %d", row.New.Rescued)
}
