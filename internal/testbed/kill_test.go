package testbed_test

import (
	"net"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestKillWhileProgramsStart: a program that is being started has, until its exec, a copy
// of what this process has open. It must not keep a killed backend's port open.
func TestKillWhileProgramsStart(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := exec.Command("true").Run(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	backend := start(t, testbed.Options{})
	for i := range 100 {
		backend.Kill()
		conn, err := net.Dial("tcp4", backend.Addr())
		if err == nil {
			_ = conn.Close()
		}
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "kill %d", i)
		require.NoError(t, backend.Revive())
	}
	close(done)
	starting.Wait()
}
