package history

import (
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func busy(name string, share float64) status.Service {
	return status.Service{
		Name: name, Share: share, Observed: new(share),
		Old: status.Side{Rate: 30, Failed: 0.01, P99: 0.2}, New: status.Side{Rate: 10, Failed: 0.05, P99: 0.5},
	}
}

func minutes(n int) time.Time { return noon.Add(time.Duration(n) * Interval) }

// TestSixHours: the newest 360 minutes stay, what was recorded is what is read, and
// missed minutes are missing.
func TestSixHours(t *testing.T) {
	t.Parallel()
	s := New(noon)
	for i := range 400 {
		if i != 200 && i != 201 {
			s.Record([]status.Service{busy("shop", float64(i%100))}, minutes(i))
		}
	}
	got := s.Document("shop")
	require.Len(t, got.Points, Points-2)
	require.Equal(t, minutes(40), got.Points[0].At)
	require.Equal(t, Point{
		At: minutes(399), Share: 99, Observed: new(99.0), Old: Side{30, 0.01, float64(float32(0.2))}, New: Side{10, 0.05, 0.5},
	}, got.Points[len(got.Points)-1])
	for i := 1; i < len(got.Points); i++ {
		require.True(t, got.Points[i-1].At.Before(got.Points[i].At))
		require.NotEqual(t, minutes(200), got.Points[i].At)
	}
	require.Equal(t, 60, got.IntervalSeconds)
	require.Equal(t, noon, got.Since)

	s.Record([]status.Service{busy("shop", 7)}, minutes(2000))
	require.Len(t, s.Document("shop").Points, 1, "after a long gap nothing old is left")
}

// TestWhoHasARing: services with traffic, within six hours, that are in the config.
func TestWhoHasARing(t *testing.T) {
	t.Parallel()
	s := New(noon)
	quiet := status.Service{Name: "quiet", Share: 5}
	s.Record([]status.Service{busy("shop", 5), quiet}, minutes(0))
	require.Equal(t, "no request in six hours", s.Document("quiet").Note)
	require.NotNil(t, s.Document("quiet").Points, "[] and not null")
	shop := status.Service{Name: "shop", Share: 5}
	for i := range Points {
		require.NotEmpty(t, s.Document("shop").Points, "after %d minutes", i)
		s.Record([]status.Service{shop}, minutes(i+1))
	}
	require.Empty(t, s.Document("shop").Points)

	s.Record([]status.Service{busy("shop", 5)}, minutes(500))
	s.Record(nil, minutes(501))
	require.Empty(t, s.Document("shop").Points, "it left the config")
}

// TestTheBound: 1,000 services with traffic take at most 9.6 MB, and more have none.
func TestTheBound(t *testing.T) {
	require.Equal(t, uintptr(24), unsafe.Sizeof(cell{}))
	rows := make([]status.Service, MaxServices+5)
	for i := range rows {
		rows[i] = busy(fmt.Sprintf("s%04d", i), 5)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := New(noon)
	for i := range 3 {
		s.Record(rows, minutes(i))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	used := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	t.Logf("%d services: %d bytes", MaxServices, used)
	require.Less(t, used, int64(9_600_000))
	require.Greater(t, used, int64(8_000_000), "the measurement is right")
	require.Len(t, s.rings, MaxServices)
	require.Contains(t, s.Document(rows[MaxServices].Name).Note, "1000 services have a history")
	runtime.KeepAlive(s)
}

// BenchmarkRecord is what the history costs once a minute.
func BenchmarkRecord(b *testing.B) {
	rows := make([]status.Service, MaxServices)
	for i := range rows {
		rows[i] = busy(fmt.Sprintf("s%04d", i), 5)
	}
	s, minute := New(noon), 0
	for b.Loop() {
		minute++
		s.Record(rows, minutes(minute))
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	one := Document{Service: "shop", IntervalSeconds: 60, Since: noon, Points: []Point{
		{At: minutes(1), Share: 20, Observed: new(10.0), Old: Side{30, 0, 0.1}, New: Side{10, 0.2, 0.5}},
		{At: minutes(2), Share: 20, Old: Side{1, 0, 0}},
	}}
	two := Document{Service: "shop", IntervalSeconds: 60, Since: minutes(-9), Note: "no request in six hours", Points: []Point{
		{At: minutes(0), Share: 5},
		{At: minutes(1), Share: 10, Observed: new(40.0), Old: Side{90, 0.4, 0.3}, New: Side{30, 0, 0.2}},
		{At: minutes(2), Share: 20, Observed: new(7.0)},
	}}
	got := Add([]Document{one, two})
	require.Equal(t, Document{Service: "shop", IntervalSeconds: 60, Since: minutes(-9), Points: []Point{
		{At: minutes(0), Share: 5},
		{At: minutes(1), Share: 10, Observed: new(32.5), Old: Side{120, 0.3, 0.3}, New: Side{40, 0.05, 0.5}},
		{At: minutes(2), Share: 20, Observed: new(7.0), Old: Side{1, 0, 0}},
	}}, got)
	require.Equal(t, "no request in six hours", Add([]Document{{Note: "no request in six hours"}}).Note)
}
