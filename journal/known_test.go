package journal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// table is a config with service shop; rest are more keys of its migration.
func table(t *testing.T, percentage int, rest string) *migration.Table {
	t.Helper()
	text := fmt.Sprintf("services: [{name: shop, old_host: shop.example, old_backend: 'shop.app.svc:80', "+
		"new_host: new.example, new_backend: 'new.example:443', migration: {percentage: %d, %s}}]", percentage, rest)
	loaded, err := config.Load("test", []byte(text))
	require.NoError(t, err)
	return loaded
}

func phase(is status.Phase, reason string) map[string]status.ClusterService {
	return map[string]status.ClusterService{"shop": {Phase: is, Reason: reason}}
}

func sentences(entries []journal.Entry) []string {
	texts := []string{}
	for _, entry := range entries {
		texts = append(texts, string(entry.Kind)+": "+entry.String())
	}
	return texts
}

// TestChanges is a migration, state by state. After each state the known one goes
// through its text, as when the leader changes.
func TestChanges(t *testing.T) {
	t.Parallel()
	five, more := table(t, 5, "enabled: true"), table(t, 25, "enabled: true")
	cases := []struct {
		state journal.State
		want  []string
	}{
		{journal.State{Table: five, Text: "a", Services: phase(status.Bypassed, "not served yet")}, []string{"share: shop percentage 5"}},
		{journal.State{Table: five, Text: "a", Services: phase(status.Migrating, "")}, []string{}},
		{journal.State{Table: five, Text: "a", Services: phase(status.Migrating, "")}, []string{}},
		{journal.State{Table: more, Text: "b", By: "alice (kubectl-edit)", Services: phase(status.Migrating, "")}, []string{"share: shop percentage 5 -> 25 by alice (kubectl-edit)"}},
		{
			journal.State{Table: more, Text: "c", Rejected: "line 3: no", By: "bob", Services: phase(status.Migrating, "")},
			[]string{"config_rejected: config rejected, the last valid one stays in force by bob: line 3: no"},
		},
		{
			journal.State{Table: more, Text: "b", Services: phase(status.Migrating, ""), Trips: map[string]map[string]string{"shop": {"pod-a": "5 failures"}}},
			[]string{"config_accepted: config accepted again", "tripped: shop tripped in replica pod-a: pod-a: 5 failures"},
		},
		{
			journal.State{Table: more, Text: "b", Services: phase(status.FallenBack, "2 of 2"), Trips: map[string]map[string]string{"shop": {"pod-a": "x", "pod-b": "x"}}},
			[]string{"fell_back: shop fell back to old: 2 of 2"},
		},
		{journal.State{Table: more, Text: "b", Services: phase(status.Migrating, "")}, []string{"recovered: shop traffic goes through the proxy again, after FallenBack"}},
		{journal.State{Table: more, Text: "b", Services: phase(status.Bypassed, "no replica"), Paused: "restore --all by eve"}, []string{
			"paused: paused: no Ingress points at the proxy: restore --all by eve", "bypassed: shop traffic goes past the proxy: no replica",
		}},
		{journal.State{Table: more, Text: "b", Services: phase(status.Migrating, "")}, []string{"resumed: resumed", "recovered: shop traffic goes through the proxy again, after Bypassed"}},
		{
			journal.State{Table: table(t, 25, "enabled: false"), Text: "d", Services: phase(status.Migrating, "")},
			[]string{"share: shop enabled true -> false"},
		},
		{
			journal.State{Table: table(t, 50, "enabled: false, strategy: user_hash, hash_key: ip"), Text: "e", Services: phase(status.Migrating, "")},
			[]string{"share: shop percentage 25 -> 50 (disabled)", "changed: shop settings changed"},
		},
		{journal.State{Text: "f", Refusals: map[string]journal.Refusal{"pod-a": {At: noon, Why: "nginx -t"}}}, []string{"config_rejected: config rejected by a replica (pod-a): nginx -t"}},
	}
	var known journal.Known
	for i, c := range cases {
		c.state.At = noon
		entries, next := known.Changes(c.state)
		require.Equal(t, c.want, sentences(entries), "state %d", i)
		again, _ := next.Changes(c.state)
		require.Empty(t, again, "state %d again", i)
		text, err := next.Format()
		require.NoError(t, err)
		known = journal.ParseKnown(text)
		again, _ = known.Changes(c.state)
		require.Empty(t, again, "state %d for a new leader", i)
	}
}

// TestConfigChanges names what was edited.
func TestConfigChanges(t *testing.T) {
	t.Parallel()
	before, after := table(t, 5, "enabled: true"), table(t, 25, "enabled: true, strategy: user_hash, hash_key: ip")
	entries := journal.ConfigChanges(before, after)
	require.Equal(t, "shop percentage 5 -> 25; shop settings changed (hash_key, strategy)", journal.Describe(entries))
	require.Equal(t, "5", entries[0].From)
	require.Equal(t, "25", entries[0].To)
	require.Empty(t, journal.ConfigChanges(before, before))
	require.Empty(t, journal.ConfigChanges(nil, before))
	empty, err := config.Load("test", []byte("services: []"))
	if err == nil {
		require.Equal(t, "shop removed from the config", journal.Describe(journal.ConfigChanges(before, empty)))
		require.Equal(t, "shop added, percentage 5", journal.Describe(journal.ConfigChanges(empty, before)))
	}
}

// TestManyChangesAreGrouped: an edit of 1,000 services is one entry.
func TestManyChangesAreGrouped(t *testing.T) {
	t.Parallel()
	many := func(percentage int) *migration.Table {
		text := "services:\n"
		for i := range 1000 {
			text += fmt.Sprintf("- {name: s%04d, old_host: s%04d.example, old_backend: 's.app.svc:80', new_host: n.example, new_backend: 'n.example:443', "+
				"migration: {enabled: true, percentage: %d}}\n", i, i, percentage)
		}
		loaded, err := config.Load("test", []byte(text))
		require.NoError(t, err)
		return loaded
	}
	entries, known := journal.Known{}.Changes(journal.State{At: noon, Table: many(0)})
	require.Equal(t, []string{"changed: the journal begins, with 1000 services"}, sentences(entries))
	entries, _ = known.Changes(journal.State{At: noon, Table: many(5), By: "alice"})
	const want = "percentage 0 -> 5: 1000 services, s0000, s0001, s0002, s0003, s0004 and others by alice"
	require.Equal(t, []string{"share: " + want}, sentences(journal.Journal{}.Append(entries...).Entries))
	require.Equal(t, want, journal.Describe(entries))
	text, err := known.Format()
	require.NoError(t, err)
	require.Less(t, len(text), 100<<10)
}

// TestAuthor follows the notes from the version before to the version after.
func TestAuthor(t *testing.T) {
	t.Parallel()
	note := func(second int, from, to, by string) journal.Note {
		return journal.Note{At: noon.Add(time.Duration(second) * time.Second), Object: journal.ConfigObject, From: from, To: to, By: by}
	}
	notes := []journal.Note{note(0, "a", "b", "alice"), note(1, "b", "c", "bob"), note(2, "c", "a", "carol"), {Object: "shop/shop", From: "b", To: "z", By: "eve"}}
	require.Equal(t, "alice", journal.Author(notes, journal.ConfigObject, "a", "b"))
	require.Equal(t, "alice, bob", journal.Author(notes, journal.ConfigObject, "a", "c"))
	require.Empty(t, journal.Author(notes, journal.ConfigObject, "a", "z"), "another object, and a circle")
	require.Empty(t, journal.Author(nil, journal.ConfigObject, "a", "b"))
	refused := append(notes, note(3, "a", "x", "mallory")) // refused after admission
	require.Equal(t, "alice", journal.Author(refused, journal.ConfigObject, "a", "b"))

	var kept []journal.Note
	for i := range 200 {
		kept = journal.AddNote(kept, note(i, "a", "b", "x\n"))
	}
	require.Len(t, kept, journal.MaxNotes)
	require.Equal(t, "x ", kept[0].By)
	require.Len(t, journal.AddNote(kept, note(3600, "a", "b", "x")), 1)
}
