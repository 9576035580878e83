package dataplane

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/listen"
)

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
