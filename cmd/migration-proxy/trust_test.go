package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrustedOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, trustedOwner(dir))
	require.NoError(t, trustedOwner(filepath.Join(dir, "missing")))
	require.NoError(t, trustedOwner("/"), "root's is trusted")
	if os.Geteuid() != 0 {
		t.Skip("only root can make a directory somebody else's")
	}
	theirs, link := filepath.Join(dir, "theirs"), filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(theirs, 0o755))
	require.NoError(t, os.Chown(theirs, 12345, 12345))
	require.ErrorContains(t, trustedOwner(theirs), "belongs to user 12345; remove it")
	require.NoError(t, os.Symlink(dir, link))
	require.NoError(t, os.Lchown(link, 12345, 12345))
	require.Error(t, trustedOwner(link))
}

func TestSystemTrustFollowsTheVariable(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "/own/ca.pem")
	found, err := systemTrust()
	require.NoError(t, err)
	require.Equal(t, trust{file: "/own/ca.pem"}, found)
}
