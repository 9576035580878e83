package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/stretchr/testify/require"
)

func TestExamplesLoad(t *testing.T) {
	t.Parallel()
	files := glob(t, "../examples/*.yaml")
	require.GreaterOrEqual(t, len(files), 3)
	for _, file := range files {
		t.Run(caseName(file), func(t *testing.T) {
			t.Parallel()
			table, err := config.Load(file, readFile(t, file))
			require.NoError(t, err)
			require.NotEmpty(t, table.Services())
			for _, risk := range table.Risks(nil) {
				require.NotContains(t, risk, "hash_key", "people copy examples, and a volatile key moves users")
			}
		})
	}
}

// TestBad loads each testdata/bad/<rule>.yaml and compares the problems with
// <rule>.err beside it.
func TestBad(t *testing.T) {
	t.Parallel()
	files := glob(t, "testdata/bad/*.yaml")
	require.GreaterOrEqual(t, len(files), 60)
	for _, file := range files {
		t.Run(caseName(file), func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(filepath.Base(file), readFile(t, file))
			var problems config.Problems
			require.ErrorAs(t, err, &problems)
			for _, problem := range problems {
				require.Positive(t, problem.Line)
				require.Positive(t, problem.Col)
			}
			golden.Check(t, strings.TrimSuffix(file, ".yaml")+".err", []byte(err.Error()+"\n"))
		})
	}
}

func TestEachBadCaseHasItsExpectation(t *testing.T) {
	t.Parallel()
	require.Len(t, glob(t, "testdata/bad/*.err"), len(glob(t, "testdata/bad/*.yaml")))
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	text := "services: [] #" + strings.Repeat("x", 4<<20)
	_, err := config.Load("big.yaml", []byte(text))
	require.EqualError(t, err, "big.yaml:1:1: the text is larger than 4 MiB; a ConfigMap holds 1 MiB")
	_, err = config.Load("big.yaml", []byte(text[:4<<20]))
	require.NoError(t, err)
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	return files
}

func readFile(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

func caseName(file string) string {
	return strings.TrimSuffix(filepath.Base(file), ".yaml")
}
