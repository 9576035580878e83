package proxy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

func TestWeightDuringAChange(t *testing.T) {
	t.Parallel()
	base := service(t, "api", 2000, "10.0.0.1:80", "10.0.0.2:80")
	withBackend3 := func(share migration.Share, enabled bool) migration.Service {
		s := service(t, "api", share, "10.0.0.1:80", "10.0.0.3:80")
		s.Enabled = enabled
		return s
	}
	for name, c := range map[string]struct {
		wanted migration.Service
		want   weights.State
	}{
		"more":      {withBackend3(5000, true), weights.State{Share: 2000, Enabled: true}},
		"less":      {withBackend3(1000, true), weights.State{Share: 1000, Enabled: true}},
		"off":       {withBackend3(5000, false), weights.State{Share: 5000}},
		"unchanged": {withBackend3(2000, true), weights.State{Share: 2000, Enabled: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, weightDuringChange(&base, &c.wanted, fallbackState{}))
		})
	}
	off, on := withBackend3(2000, false), withBackend3(2000, true)
	require.False(t, weightDuringChange(&off, &on, fallbackState{}).Enabled, "not before the other backend is in force")
	require.True(t, weightDuringChange(&off, &on, fallbackState{phase: status.FallenBack}).Tripped)
	require.False(t, weightDuringChange(&off, &on, fallbackState{phase: status.Recovering}).Tripped, "a trial with traffic")
}
