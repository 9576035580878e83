package config_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestSteps finds a step in both forms of a ramp.
func TestSteps(t *testing.T) {
	t.Parallel()
	const text = `services:
  - {name: a, migration: {ramp: [1, 5]}}
  - name: b
    migration:
      ramp:
        hold: 1h
        steps: [1, {to: 25}]
`
	steps, err := config.FindSteps("x.yaml", []byte(text))
	require.NoError(t, err)
	for service, want := range map[string]string{
		"a": "x.yaml:2:37: services[0].migration.ramp[1]: why",
		"b": "x.yaml:7:20: services[1].migration.ramp.steps[1]: why",
	} {
		found, err := steps.At(migration.Name(service), 1, "why")
		require.NoError(t, err)
		require.Equal(t, want, found.String())
	}
	_, err = steps.At("c", 1, "why")
	require.ErrorContains(t, err, "no service c")
}
