package render_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/render"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

const text = `services:
- {name: api, old_host: api.example.com, old_backend: 'old.internal:80', new_host: b, new_backend: '192.0.2.7:8080'}
- {name: web, old_host: web.example.com, old_backend: 'old.internal:80', new_host: b, new_backend: 'web.internal:80'}
`

func generate(t *testing.T, resolve bool, text string) (generated, notes string) {
	t.Helper()
	table, err := config.Load("c", []byte(text))
	require.NoError(t, err)
	version, err := nginxgen.ParseVersion("nginx/1.22.1")
	require.NoError(t, err)
	var out bytes.Buffer
	made, err := render.Generate(t.Context(), table, render.Options{
		Listen: listen.OnAll(8000), ListenNew: listen.OnAll(8001), RuntimeDir: "/run/mp", CAFile: "/ca.crt", Version: version, Resolve: resolve,
	}, &out)
	require.NoError(t, err)
	return string(made), out.String()
}

// TestPlaceholders: the text does not depend on any name server, and the notes
// say which address stands for which name.
func TestPlaceholders(t *testing.T) {
	t.Parallel()
	generated, notes := generate(t, false, text)
	require.Equal(t, "note: 2001:db8::1 stands for old.internal\nnote: 2001:db8::3 stands for web.internal\n", notes)
	for _, part := range []string{"[2001:db8::1]:80", "192.0.2.7:8080", "[2001:db8::3]:80", "/run/mp"} {
		require.Contains(t, generated, part)
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	generated, notes := generate(t, true, "services:\n- {name: api, old_host: a, old_backend: '127.0.0.1:80', new_host: b, new_backend: 'no-such-name.invalid:80'}\n")
	require.Contains(t, notes, "note: no-such-name.invalid is marked down: ")
	require.Contains(t, generated, "127.0.0.1:80")
}

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "made", "here")
	require.NoError(t, render.WriteFile(dir, []byte("events {}")))
	text, err := os.ReadFile(filepath.Join(dir, "nginx.conf"))
	require.NoError(t, err)
	require.Equal(t, "events {}", string(text))
	require.ErrorContains(t, render.WriteFile(filepath.Join(dir, "nginx.conf"), nil), "write nginx config: ")
}
