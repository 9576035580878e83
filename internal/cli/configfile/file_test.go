package configfile_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
)

func TestRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "c.yaml")
	require.NoError(t, os.WriteFile(path, []byte("services: []"), 0o600))
	name, text, err := configfile.Read(path, nil)
	require.NoError(t, err)
	require.Equal(t, path, name)
	require.Equal(t, "services: []", string(text))

	name, text, err = configfile.Read("-", strings.NewReader("services: ["))
	require.NoError(t, err)
	require.Equal(t, "<stdin>", name)
	require.Equal(t, "services: [", string(text))

	_, _, err = configfile.Read(path+"x", nil)
	require.ErrorContains(t, err, "read config: open ")
}

func TestLoad(t *testing.T) {
	t.Parallel()
	_, err := configfile.Load("-", strings.NewReader("service: []"))
	require.ErrorContains(t, err, "<stdin>:1:1: ")
	_, err = configfile.Load(filepath.Join(t.TempDir(), "none"), nil)
	require.ErrorContains(t, err, "read config: open ")
}
