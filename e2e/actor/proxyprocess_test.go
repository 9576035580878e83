package main

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

// startProxy starts the migration proxy, with the real nginx, for one config. It gives its
// address.
func startProxy(t *testing.T, program, config string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mpa") // short: the path of a unix socket has at most 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	file := filepath.Join(dir, "migration.yaml")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o644))
	listen, api := freeAddress(t), freeAddress(t)
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	run := exec.Command(program, "run", "--local-config", file, "--listen", listen, "--listen-new", freeAddress(t), "--http", api,
		"--runtime-dir", filepath.Join(dir, "run"), "--access-log", filepath.Join(dir, "access.log"), "--workers", "1", "--nginx", testbed.Nginx())
	run.Stdout, run.Stderr = log, log
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, run.Start())
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM)
		_ = run.Wait()
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("log of the proxy:\n%s", text)
		}
	})
	require.Eventually(t, func() bool {
		answer, err := http.Get("http://" + api + "/ready")
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil && answer.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
	return listen
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := testbed.FreePort()
	require.NoError(t, err)
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// buildProxy builds the product.
func buildProxy(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "migration-proxy")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, "../../cmd/migration-proxy")
	output, err := build.CombinedOutput()
	require.NoError(t, err, "%s", output)
	return program
}
