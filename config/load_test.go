package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/stretchr/testify/require"
)

func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/*.yaml")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 3)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			table, err := config.Load(file, text)
			require.NoError(t, err)
			require.NotEmpty(t, table.Services())
		})
	}
}
