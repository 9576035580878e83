package dataplane

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/listen"
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

func TestCheckFlags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ listen, listenNew, http, says string }{
		{":8000", ":8001", ":8080", ""},
		{"127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.2:8000", ""},
		{":8002", ":8001", ":8080", "--listen :8002 and --listen-grpc :8002 have the same port; choose another with --listen-grpc"},
		{":8000", "127.0.0.1:8002", ":8080", "--listen-new 127.0.0.1:8002 and --listen-grpc :8002 have the same port"},
		{":8000", ":8001", ":8002", "--listen-grpc :8002 and --http :8002 have the same port; choose another with --http"},
		{":8000", ":8000", ":8080", "--listen :8000 and --listen-new :8000 have the same port; choose another with --listen-new or $MIGRATION_PROXY_LISTEN_NEW"},
		{"127.0.0.1:8000", "127.0.0.2:8000", ":8080", "have the same port; choose another with --listen-new"},
		{":8000", ":8001", "127.0.0.1:8000", "--listen :8000 and --http 127.0.0.1:8000 have the same port; choose another with --http"},
		{":8000", ":8001", ":8001", "--listen-new :8001 and --http :8001 have the same port; choose another with --http"},
	} {
		o := Options{ListenGRPC: listen.OnAll(8002)}
		for address, text := range map[*listen.Address]string{&o.Listen: c.listen, &o.ListenNew: c.listenNew, &o.HTTP: c.http} {
			require.NoError(t, address.Set(text))
		}
		if c.says == "" {
			require.NoError(t, checkFlags(&o))
			continue
		}
		require.ErrorContains(t, checkFlags(&o), c.says)
	}
}
