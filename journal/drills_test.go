package journal_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
)

// TestDrills: a drill and its result are in the journal once, and its fallback has a mark
// that a real one does not have.
func TestDrills(t *testing.T) {
	t.Parallel()
	config := table(t, 5, "enabled: true")
	drill := status.Drill{ID: "1", By: "alice", At: noon, Until: noon.Add(time.Minute)}
	ended := drill
	ended.Result = "0 were lost"
	reason := drill.Reason()
	state := func(is status.Phase, reasons map[string]string, drills ...status.Drill) journal.State {
		s := journal.State{At: noon, Table: config, Text: "a", Services: phase(is, "2 of 2"), Drills: map[string]status.Drill{}}
		s.Trips = map[string]map[string]string{"shop": reasons}
		for _, d := range drills {
			s.Drills["shop"] = d
		}
		return s
	}
	var known journal.Known
	for i, c := range []struct {
		state journal.State
		want  []string
		drill bool
	}{
		{state(status.Migrating, nil), []string{"share: shop percentage 5"}, false},
		{state(status.Migrating, map[string]string{"a": reason}, drill), []string{
			"drilled: shop drill: all requests go to old until 12:01:00 by alice", "tripped: shop tripped in replica a: a: " + reason,
		}, true},
		{state(status.FallenBack, map[string]string{"a": reason, "b": reason}, drill), []string{"fell_back: shop fell back to old: 2 of 2"}, true},
		{state(status.Migrating, nil, ended), []string{"drilled: shop drill ended by alice: 0 were lost", "recovered: shop traffic goes through the proxy again, after FallenBack: 2 of 2"}, false},
		{state(status.FallenBack, map[string]string{"a": reason, "b": "5 failures"}, ended), []string{"fell_back: shop fell back to old: 2 of 2"}, false},
	} {
		entries, next := known.Changes(c.state)
		require.Equal(t, c.want, sentences(entries), "state %d", i)
		require.Equal(t, c.drill, entries[len(entries)-1].Drill, "state %d", i)
		text, err := next.Format()
		require.NoError(t, err)
		known = journal.ParseKnown(text)
		again, _ := known.Changes(c.state)
		require.Empty(t, again, "state %d for a new leader", i)
	}
}
