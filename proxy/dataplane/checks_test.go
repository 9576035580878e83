package dataplane

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckOwner(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, checkOwner(dir))
	require.NoError(t, checkOwner(filepath.Join(dir, "missing")))
	require.NoError(t, checkOwner("/"), "root may own it")
	if os.Geteuid() != 0 {
		t.Skip("only root can change the owner of a directory")
	}
	foreign, link := filepath.Join(dir, "foreign"), filepath.Join(dir, "link")
	require.NoError(t, os.Mkdir(foreign, 0o755))
	require.NoError(t, os.Chown(foreign, 12345, 12345))
	require.ErrorContains(t, checkOwner(foreign), "belongs to user 12345; remove it")
	require.NoError(t, os.Symlink(dir, link))
	require.NoError(t, os.Lchown(link, 12345, 12345))
	require.Error(t, checkOwner(link))
}

func TestFindRootCertsInTheVariable(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", "/own/ca.pem")
	found, err := findRootCerts()
	require.NoError(t, err)
	require.Equal(t, rootCerts{file: "/own/ca.pem"}, found)
}
