package testbed_test

import (
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

func TestChildren(t *testing.T) {
	t.Parallel()
	child := exec.Command("true")
	require.NoError(t, child.Start())
	require.Eventually(t, func() bool { return stateOf(t, child.Process.Pid) == "Z" }, 10*time.Second, time.Millisecond,
		"it has ended, and nobody has waited for it")
	require.NoError(t, child.Wait())
	require.Empty(t, stateOf(t, child.Process.Pid))
}

// stateOf is empty for a process that is no child of the test's.
func stateOf(t *testing.T, pid int) string {
	children, err := testbed.Children(os.Getpid())
	require.NoError(t, err)
	for _, child := range children {
		if child.PID == pid {
			return child.State
		}
	}
	return ""
}
