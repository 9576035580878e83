package config_test

import (
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// FuzzLoad: no text makes Load panic, every error is Problems, and a config that
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
			roundTrip(t, text, table.WithShare(service.Name, 1234), service.Name)
			roundTrip(t, text, table.WithEnabled(service.Name, !service.Enabled), service.Name)
		}
	})
}

// FuzzSetPercentage: for each text, service and share, an edit sets the share, and a
// second edit restores the share before it.
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
		roundTrip(t, text, table.WithShare(migration.Name(name), migration.Share(share)), migration.Name(name))
	})
}

// roundTrip edits the text until it loads to the wanted table, and back: then the
// digest is that of the first text. A layout that a program cannot edit may be
// refused.
func roundTrip(t *testing.T, text []byte, want *migration.Table, name migration.Name) {
	t.Helper()
	before, err := config.Load("f", text)
	require.NoError(t, err)
	changed, err := setBoth(text, want.Service(name))
	if err != nil {
		require.ErrorContains(t, err, "a program cannot edit the layout")
		return
	}
	edited, err := config.Load("f", changed)
	require.NoError(t, err)
	require.Equal(t, want.Digest(), edited.Digest())
	back, err := setBoth(changed, before.Service(name))
	require.NoError(t, err)
	restored, err := config.Load("f", back)
	require.NoError(t, err)
	require.Equal(t, before.Digest(), restored.Digest())
}

func setBoth(text []byte, to *migration.Service) ([]byte, error) {
	share, err := config.SetPercentage("f", text, to.Name, to.Share)
	if err != nil {
		return nil, err
	}
	enabled, err := config.SetEnabled("f", share.Text, to.Name, to.Enabled)
	return enabled.Text, err
}

func addFiles(f *testing.F, add func(text []byte)) {
	f.Helper()
	for _, pattern := range []string{"../examples/*.yaml", "testdata/percentage/*.yaml", "testdata/enabled/*.yaml", "testdata/bad/many-*.yaml", "testdata/bad/syntax-*.yaml"} {
		for _, file := range glob(f, pattern) {
			add(readFile(f, file))
		}
	}
}
