package proxy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
	"github.com/migration-proxy/migration-proxy/status"
)

func TestWhatHoldsWhileATableIsOnItsWayIn(t *testing.T) {
	t.Parallel()
	base := service(t, "api", 2000, "10.0.0.1:80", "10.0.0.2:80")
	with := func(share migration.Share, enabled bool, newBackend string) migration.Service {
		s := service(t, "api", share, "10.0.0.1:80", newBackend)
		s.Enabled = enabled
		return s
	}
	const same, other = "10.0.0.2:80", "10.0.0.3:80"
	for name, c := range map[string]struct {
		next migration.Service
		want weights.State
	}{
		"more, the rest the same":         {with(5000, true, same), weights.State{Share: 5000, Enabled: true}},
		"less, the rest the same":         {with(1000, true, same), weights.State{Share: 1000, Enabled: true}},
		"off, the rest the same":          {with(2000, false, same), weights.State{Share: 2000}},
		"more, for another backend":       {with(5000, true, other), weights.State{Share: 2000, Enabled: true}},
		"less, for another backend":       {with(1000, true, other), weights.State{Share: 1000, Enabled: true}},
		"off, for another backend":        {with(5000, false, other), weights.State{Share: 5000}},
		"unchanged, with another backend": {with(2000, true, other), weights.State{Share: 2000, Enabled: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, meanwhile(&base, &c.next, verdict{}))
		})
	}
	off := with(2000, false, same)
	on := with(2000, true, other)
	require.False(t, meanwhile(&off, &on, verdict{}).Enabled, "not before the other backend is in force")
	on = with(2000, true, same)
	require.True(t, meanwhile(&off, &on, verdict{}).Enabled)
	require.True(t, meanwhile(&off, &on, verdict{phase: status.FallenBack}).Tripped)
	require.False(t, meanwhile(&off, &on, verdict{phase: status.Recovering}).Tripped, "a trial with traffic")
}
