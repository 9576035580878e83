package config_test

import (
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// FuzzLoad: no text makes Load panic, every refusal is Problems, and what
// loads can be edited and edited back.
func FuzzLoad(f *testing.F) {
	addFiles(f, func(text []byte) { f.Add(text) })
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := config.Load("f", text)
		if err != nil {
			var problems config.Problems
			require.ErrorAs(t, err, &problems)
			require.NotEmpty(t, problems)
			return
		}
		for _, service := range table.Services() {
			roundTrip(t, text, service, 1234)
		}
	})
}

// FuzzSetPercentage: whatever the text, service and share, an edit leads to
// that share and back.
func FuzzSetPercentage(f *testing.F) {
	addFiles(f, func(text []byte) { f.Add(text, "api", 1250) })
	f.Fuzz(func(t *testing.T, text []byte, name string, share int) {
		share = min(max(share, 0), int(migration.FullShare))
		table, err := config.Load("f", text)
		if err != nil || table.Service(migration.Name(name)) == nil {
			_, err := config.SetPercentage("f", text, migration.Name(name), migration.Share(share))
			require.Error(t, err)
			return
		}
		roundTrip(t, text, *table.Service(migration.Name(name)), migration.Share(share))
	})
}

// roundTrip sets a share and sets it back: the digest is again the first. A
// layout that cannot be edited is refused, which is all right.
func roundTrip(t *testing.T, text []byte, service migration.Service, share migration.Share) {
	t.Helper()
	table, err := config.Load("f", text)
	require.NoError(t, err)
	changed, err := config.SetPercentage("f", text, service.Name, share)
	if err != nil {
		require.ErrorContains(t, err, "cannot be edited by program")
		return
	}
	edited, err := config.Load("f", changed)
	require.NoError(t, err)
	require.Equal(t, share, edited.Service(service.Name).Share)
	back, err := config.SetPercentage("f", changed, service.Name, service.Share)
	require.NoError(t, err)
	restored, err := config.Load("f", back)
	require.NoError(t, err)
	require.Equal(t, table.Digest(), restored.Digest())
}

func addFiles(f *testing.F, add func(text []byte)) {
	f.Helper()
	for _, pattern := range []string{"../examples/*.yaml", "testdata/percentage/*.yaml", "testdata/bad/many-*.yaml", "testdata/bad/syntax-*.yaml"} {
		for _, file := range glob(f, pattern) {
			add(readFile(f, file))
		}
	}
}
