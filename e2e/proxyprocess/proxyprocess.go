// Package proxyprocess builds the program, and runs it as a data plane for a test.
//
// Takes:
//   - a migration config
//
// Gives:
//   - the addresses of a proxy that is ready, until the test ends; if the test fails,
//     its log
//
// Refuses:
//   - nothing: what does not build or become ready ends the test
package proxyprocess

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// Build builds the program in a directory, and gives its path.
func Build(dir string) (program string, err error) {
	program = filepath.Join(dir, "migration-proxy")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "github.com/migration-proxy/migration-proxy/cmd/migration-proxy")
	if output, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build migration-proxy: %w\n%s", err, output)
	}
	return program, nil
}

// Process is a running proxy. Its addresses are host:port.
type Process struct {
	Traffic, GRPC, API string
	Config             string // the file that it serves
	RuntimeDir         string
	PID                int // of the agent
}

// readyWithin is much longer than a start takes on a busy machine.
const readyWithin = time.Minute

// Start runs the program, with the real nginx, until the test ends.
func Start(t *testing.T, program, config string) Process {
	t.Helper()
	dir, err := os.MkdirTemp("", "mpp") // short: the path of a unix socket has at most 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755)) // nginx's workers may be another user
	file := filepath.Join(dir, "migration.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	p := Process{Traffic: FreeAddress(t), GRPC: FreeAddress(t), API: FreeAddress(t), Config: file, RuntimeDir: filepath.Join(dir, "run")}
	run := exec.Command(program, "run", "--local-config", file, "--listen", p.Traffic, "--listen-new", FreeAddress(t), "--listen-grpc", p.GRPC,
		"--http", p.API, "--runtime-dir", p.RuntimeDir, "--workers", "1", "--nginx", testbed.Nginx())
	run.Stdout, run.Stderr = log, log
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, run.Start())
	p.PID = run.Process.Pid
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		_ = run.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of the proxy:\n%s", text)
		}
		_ = log.Close()
	})
	require.Eventually(t, p.ready, readyWithin, 20*time.Millisecond)
	return p
}

func (p Process) ready() bool {
	answer, err := http.Get("http://" + p.API + "/ready")
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// FreeAddress is an address on 127.0.0.1 that nothing listens on.
func FreeAddress(t *testing.T) string {
	t.Helper()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}
