package journal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
)

// TestSplits: a fallback does not lose what was counted before it, and a replica that did
// not fall back counts on.
func TestSplits(t *testing.T) {
	t.Parallel()
	var splits journal.Splits
	row := func(phase status.Phase, share, inForce float64, requests uint64) status.Service {
		return status.Service{Name: "shop", Phase: phase, Share: share, Split: status.Split{Share: inForce, Requests: requests, New: requests / 2}}
	}
	take := func(a, b status.Service) {
		splits.Take(map[string][]status.Service{"a": {a}, "b": {b}})
	}
	take(row(status.Migrating, 50, 50, 100), row(status.Migrating, 50, 50, 80))
	for _, begins := range []status.Service{row(status.Migrating, 50, 0, 0), row(status.FallenBack, 50, 0, 3), row(status.FallenBack, 50, 0, 40)} {
		take(begins, row(status.Migrating, 50, 50, 90))
	}
	fallen := row(status.FallenBack, 50, 0, 41)
	require.EqualValues(t, 100, splits.Until("a", fallen).Split.Requests)
	require.EqualValues(t, 50, journal.EvidenceOf(splits.Until("a", fallen)).New.Requests)
	require.EqualValues(t, 91, splits.Until("b", row(status.Migrating, 50, 50, 91)).Split.Requests)

	take(row(status.Migrating, 50, 50, 7), row(status.Migrating, 50, 50, 95))
	require.EqualValues(t, 7, splits.Until("a", fallen).Split.Requests, "after the fallback it counts again")
	splits.Take(nil)
	require.EqualValues(t, 41, splits.Until("a", fallen).Split.Requests, "a replica that came after the fallback")
}
