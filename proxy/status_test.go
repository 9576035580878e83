package proxy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

func TestPhase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		enabled  bool
		fallback status.Phase
		want     status.Phase
	}{
		{false, status.FallenBack, status.Disabled},
		{true, status.FallenBack, status.FallenBack},
		{true, status.Recovering, status.Recovering},
		{true, status.Migrating, status.Migrating},
		{true, "", status.Migrating},
	} {
		got, _ := phase(&migration.Service{Enabled: c.enabled}, fallbackState{phase: c.fallback})
		require.Equal(t, c.want, got, c)
	}
}
