package status_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestWorseThan pins the order of all phases.
func TestWorseThan(t *testing.T) {
	t.Parallel()
	order := []status.Phase{"", status.Migrating, status.Recovering, status.FallenBack, status.Bypassed, status.Disabled}
	for i, phase := range order {
		for j, other := range order {
			require.Equal(t, i > j, phase.WorseThan(other), "%q worse than %q", phase, other)
		}
	}
}
