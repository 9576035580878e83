package proxy

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/proxy/nginx"
)

func TestIsMachineFault(t *testing.T) {
	t.Parallel()
	full := fmt.Errorf("stage nginx config: %w", &fs.PathError{Op: "write", Path: "/run/x", Err: syscall.ENOSPC})
	require.True(t, isMachineFault(full))
	require.True(t, isMachineFault(errors.Join(errors.New("another error"), full)))
	require.True(t, isMachineFault(nginx.Problems{`[emerg] mkdir() "/run/x" failed (28: No space left on device)`}))
	require.True(t, isMachineFault(nginx.Problems{"one", `[emerg] open() "/run/x" failed (24: Too many open files)`}))
	require.False(t, isMachineFault(nginx.Problems{`[emerg] open() "/no/ca.pem" failed (2: No such file or directory)`}))
	require.False(t, isMachineFault(nginx.Problems{`[emerg] bind() to 0.0.0.0:80 failed (98: Address already in use)`}))
	require.False(t, isMachineFault(nginx.Problems{`[emerg] open() "/etc/key.pem" failed (13: Permission denied)`}))
	require.True(t, isMachineFault(&fs.PathError{Op: "mkdir", Path: "/run/x", Err: syscall.EACCES}))
	require.True(t, isMachineFault(fmt.Errorf("nginx still serves config 0: %w", nginx.ErrNotServed)))
	require.False(t, isMachineFault(nginx.Problems{"[emerg] invalid", nginx.ErrNotServed.Error()}), "nginx said what is wrong")
}
