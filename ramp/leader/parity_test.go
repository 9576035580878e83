package leader

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// TestParity: replicas count by their samples, and too few samples of all are no verdict.
func TestParity(t *testing.T) {
	t.Parallel()
	replica := func(name string, samples int, same float64, findings ...string) Replica {
		c := &status.Comparison{Samples: samples, Same: &same, Findings: findings}
		return Replica{Name: name, Ready: true, Evidence: status.Evidence{Services: map[string]status.ServiceEvidence{"shop": {Comparison: c}}}}
	}
	silent := Replica{Name: "silent", Ready: true, Evidence: status.Evidence{Services: map[string]status.ServiceEvidence{"shop": {}}}}
	pausing := replica("pausing", 5, 100)
	pausing.Evidence.Services["shop"].Comparison.Paused = "old fails"
	for name, c := range map[string]struct {
		replicas []Replica
		parity   migration.Share
		want     string
	}{
		"off":      {[]Replica{replica("a", 100, 0)}, 0, ""},
		"none":     {[]Replica{silent}, 9900, "0 of 30 requests compared"},
		"too few":  {[]Replica{replica("a", 14, 100), replica("b", 15, 100), silent}, 9900, "29 of 30 requests compared"},
		"paused":   {[]Replica{replica("a", 14, 100), pausing}, 9900, "19 of 30 requests compared; nothing is compared for some minutes: old fails"},
		"alike":    {[]Replica{replica("a", 15, 98), replica("b", 15, 100)}, 9900, ""},
		"weighted": {[]Replica{replica("a", 90, 98, "1 % GET /a: header"), replica("b", 10, 100)}, 9900, "both sides answer alike on 98.20 % of the requests, not on 99 %; 1 % GET /a: header"},
	} {
		var m Meter
		m.Take(c.replicas, time.Unix(0, 0))
		gates := m.Parity(&migration.Service{Name: "shop", Ramp: &migration.Ramp{Parity: c.parity}})
		if c.want == "" {
			require.Empty(t, gates, name)
			continue
		}
		require.Len(t, gates, 1, name)
		require.Equal(t, ramp.ReasonParity, gates[0].Reason)
		require.Equal(t, c.want, gates[0].Detail, name)
	}
}
