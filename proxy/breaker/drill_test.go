package breaker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestDrill: all to old until the time is over, whatever happens to the order; what the
// circuit breaker decides meanwhile counts afterwards.
func TestDrill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBreaker(dir)
	b.setTable(t, serviceRow("api", nil), serviceRow("shop", nil))
	order := func(until time.Time) map[string]status.Drill {
		return map[string]status.Drill{"shop": {ID: "1", By: "alice", At: noon, Until: until}, "gone": {ID: "2", Until: until}}
	}
	b.SetDrills(order(noon.Add(status.MaxDrill+time.Second)), noon)
	require.Equal(t, status.Migrating, b.phases["shop"], "too long")
	b.SetDrills(order(noon), noon)
	require.Equal(t, status.Migrating, b.phases["shop"], "over")

	b.SetDrills(order(noon.Add(10*time.Second)), noon)
	require.Equal(t, status.FallenBack, b.phases["shop"])
	require.Equal(t, "drill by alice until 12:00:10", b.reason)
	require.Equal(t, status.Migrating, b.phases["api"])
	require.NotContains(t, b.phases, migration.Name("gone"))
	b.tick(noon.Add(9 * time.Second))
	require.Equal(t, status.FallenBack, b.phases["shop"])
	b.tick(noon.Add(10 * time.Second))
	require.Equal(t, status.Migrating, b.phases["shop"], "by itself")

	b.SetDrills(order(noon.Add(10*time.Second)), noon)
	b.SetDrills(order(noon.Add(time.Second)), noon.Add(time.Second))
	require.Equal(t, status.Migrating, b.phases["shop"], "ended by its order")

	b.SetDrills(order(noon.Add(10*time.Second)), noon)
	for range 3 {
		b.ObserveFailure(event("shop", 503), noon)
	}
	require.Contains(t, b.reason, "drill by alice")
	b.SetDrills(nil, noon)
	require.Equal(t, status.FallenBack, b.phases["shop"])
	require.Contains(t, b.reason, "3 of 3 requests to new failed")
}
