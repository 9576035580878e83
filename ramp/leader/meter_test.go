package leader

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// counted is the answer of a replica with a service "shop" at 5 %.
func counted(name string, started time.Time, old, new uint64) Replica {
	return Replica{
		Name: name, Address: netip.MustParseAddrPort("192.0.2.1:8080"), Ready: true,
		Evidence: status.Evidence{StartedAt: started, Services: map[string]status.ServiceEvidence{
			"shop": {Share: 5, Old: status.EvidenceSide{Requests: old}, New: status.EvidenceSide{Requests: new}},
		}},
	}
}

// TestSlot: replicas are added up by difference, and one that started again begins anew.
func TestSlot(t *testing.T) {
	t.Parallel()
	var m Meter
	m.Take([]Replica{counted("a", noon, 100, 10), counted("b", noon, 50, 5)}, noon)
	require.Zero(t, m.Slot("shop").Old.Requests, "nothing is known of the time before")

	m.Take([]Replica{counted("a", noon, 130, 12), counted("b", noon, 60, 6)}, noon.Add(10*time.Second))
	slot := m.Slot("shop")
	require.Equal(t, ramp.Counts{Requests: 40}, slot.Old)
	require.Equal(t, ramp.Counts{Requests: 3}, slot.New)
	require.Equal(t, map[string]ramp.Counts{"a": {Requests: 2}, "b": {Requests: 1}}, slot.Replicas)

	m.Take([]Replica{counted("a", noon, 140, 13), counted("b", noon.Add(time.Minute), 500, 50)}, noon.Add(20*time.Second))
	require.Equal(t, ramp.Counts{Requests: 10}, m.Slot("shop").Old, "b started again")

	m.Take([]Replica{counted("a", noon, 20, 2)}, noon.Add(30*time.Second))
	require.Zero(t, m.Slot("shop").Old.Requests, "lower than before")
}

// TestUnserved names the replica that is behind, and why.
func TestUnserved(t *testing.T) {
	t.Parallel()
	var m Meter
	require.Equal(t, "no replica is ready", m.Unserved("shop", 500, noon))
	m.Take([]Replica{counted("a", noon, 1, 1)}, noon)
	require.Empty(t, m.Unserved("shop", 500, noon))
	require.Equal(t, "a serves 5 %, not 20 %", m.Unserved("shop", 2000, noon))
	require.Equal(t, "a does not have the ramp yet", m.Unserved("other", 500, noon))
	require.True(t, m.Serves("shop"))

	silent := Replica{Name: "a", Address: netip.MustParseAddrPort("192.0.2.1:8080"), Ready: true, Err: errors.New("no route")}
	m.Take([]Replica{silent}, noon.Add(10*time.Second))
	require.Empty(t, m.Unserved("shop", 500, noon.Add(10*time.Second)), "it may answer again")
	m.Take([]Replica{silent}, noon.Add(31*time.Second))
	require.Equal(t, "a has given no evidence for 31s: no route", m.Unserved("shop", 500, noon.Add(31*time.Second)))

	silent.Name = "new"
	m.Take([]Replica{silent}, noon.Add(32*time.Second))
	require.Equal(t, "new gives no evidence: no route", m.Unserved("shop", 500, noon.Add(32*time.Second)))
	require.Equal(t, 1, m.Count())
}

// TestPosition: the bound follows old's 99th percentile when it has moved by a tenth.
func TestPosition(t *testing.T) {
	t.Parallel()
	shop := &migration.Service{Name: "shop", Ramp: &migration.Ramp{Judge: migration.RampJudge{SlowAllow: 30 * time.Millisecond}}}
	at := func(seconds float64, answers uint64) *Meter {
		histogram := make([]uint64, status.LatencyBins)
		histogram[status.LatencyBin(seconds)] = answers
		replica := counted("a", noon, 1, 1)
		replica.Evidence.Services["shop"] = status.ServiceEvidence{OldLatency: histogram}
		m := &Meter{}
		m.Take([]Replica{replica}, noon)
		return m
	}
	first := at(0.2, 200).Position(shop, 500, status.Position{})
	require.InDelta(t, 5, first.Share, 0)
	require.InEpsilon(t, 0.2, first.SlowOld, 0.06)
	require.InDelta(t, first.SlowOld+0.03, first.SlowNew, 1e-9)
	require.Equal(t, first, at(0.2*1.01, 200).Position(shop, 500, first), "it is near")
	require.Equal(t, first, at(2, 199).Position(shop, 500, first), "too few answers")
	require.InEpsilon(t, 2, at(2, 200).Position(shop, 500, first).SlowOld, 0.06)
}
