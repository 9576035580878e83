package journal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/journal"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// TestBounds: the journal keeps the newest entries within its bounds, whatever is
// appended, and its IDs grow.
func TestBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var j journal.Journal
		for range rapid.IntRange(1, 3).Draw(t, "appends") {
			var entries []journal.Entry
			for range rapid.IntRange(1, 200).Draw(t, "entries") {
				entries = append(entries, journal.Entry{
					At: noon, Kind: journal.Share, Service: rapid.SampledFrom([]string{"", "shop", "api"}).Draw(t, "service"),
					What: strings.Repeat("x", rapid.IntRange(0, 2000).Draw(t, "what")),
				})
			}
			j = j.Append(entries...)
		}
		text, err := j.Text()
		require.NoError(t, err)
		require.LessOrEqual(t, len(text), journal.MaxBytes+100)
		require.LessOrEqual(t, len(j.Entries), journal.MaxEntries)
		require.Equal(t, j.LastID, j.Entries[len(j.Entries)-1].ID, "the newest stays")
		for i := 1; i < len(j.Entries); i++ {
			require.Less(t, j.Entries[i-1].ID, j.Entries[i].ID)
		}
		again, err := journal.Parse(text)
		require.NoError(t, err)
		require.Equal(t, j, again)
	})
}

// TestOneServiceDoesNotPushOutOthers: 1,000 trips of one service leave the entry of
// another one.
func TestOneServiceDoesNotPushOutOthers(t *testing.T) {
	t.Parallel()
	j := journal.Journal{}.Append(journal.Entry{At: noon, Kind: journal.Share, Service: "quiet", What: "percentage 5 -> 25"})
	for i := range 1000 {
		j = j.Append(journal.Entry{At: noon, Kind: journal.Tripped, Service: "loud", What: fmt.Sprint("trip ", i)})
	}
	require.Len(t, j.Entries, journal.MaxEntries)
	require.Equal(t, "percentage 5 -> 25", j.Newest()["quiet"].What)
	require.Equal(t, "trip 999", j.Newest()["loud"].What)
	require.Len(t, j.Of("quiet", time.Time{}), 1)
	require.Empty(t, j.Of("quiet", noon.Add(time.Second)))
}

// TestManyServicesDoNotPushOutHistory: what a thousand ramps do at the same time is one
// entry. What only one service did, or an Ingress, stays apart.
func TestManyServicesDoNotPushOutHistory(t *testing.T) {
	t.Parallel()
	j := journal.Journal{}.Append(journal.Entry{At: noon, Kind: journal.Share, Service: "quiet", What: "percentage 5 -> 25"})
	for _, what := range []string{"share 0 -> 1", "ramp rising -> measuring"} {
		var entries []journal.Entry
		for i := range 1000 {
			entries = append(entries, journal.Entry{At: noon, Kind: journal.RampChanged, Service: fmt.Sprint("s", i), What: what, Evidence: &journal.Evidence{}})
		}
		j = j.Append(entries...)
	}
	want := []string{
		"quiet percentage 5 -> 25", "share 0 -> 1: 1000 services, s0, s1, s2, s3, s4 and others",
		"ramp rising -> measuring: 1000 services, s0, s1, s2, s3, s4 and others",
	}
	require.Equal(t, want, texts(j.Entries))

	var apart []journal.Entry
	for i := range 60 {
		apart = append(apart, journal.Entry{At: noon, Kind: journal.Tripped, Service: "loud", What: "tripped"},
			journal.Entry{At: noon, Kind: journal.Rewritten, Service: fmt.Sprint("s", i), Object: "web/shop", Version: "7", What: "Ingress points at the proxy"})
	}
	require.Equal(t, texts(apart), texts(journal.Journal{}.Append(apart...).Entries))
}

func texts(entries []journal.Entry) []string {
	var found []string
	for _, entry := range entries {
		found = append(found, entry.String())
	}
	return found
}

// TestHas: what two leaders see of an Ingress is there once, and all that it did is there.
func TestHas(t *testing.T) {
	t.Parallel()
	in := journal.Entry{At: noon, Kind: journal.OptedIn, Object: "web/shop", Version: "7"}
	j := journal.Journal{}.Append(in, journal.Entry{Kind: journal.RampChanged, Service: "shop"})
	seen, rewritten, again, other := in, in, in, in
	seen.At, rewritten.Kind, again.Version, other.Object = noon.Add(time.Second), journal.Rewritten, "9", "web/other"
	require.True(t, j.Has(seen), "by another clock")
	require.False(t, j.Has(rewritten))
	require.False(t, j.Has(again))
	require.False(t, j.Has(other))
	require.False(t, j.Has(journal.Entry{Kind: journal.RampChanged, Service: "shop"}), "a person may type it twice")
}

// TestIDsGoOn: an ID is never used twice, also when the entries are gone.
func TestIDsGoOn(t *testing.T) {
	t.Parallel()
	j, err := journal.Parse(`{"last_id": 7, "entries": []}`)
	require.NoError(t, err)
	require.EqualValues(t, 8, j.Append(journal.Entry{}).Entries[0].ID)
	j, err = journal.Parse(`{"entries": [{"id": 9}]}`)
	require.NoError(t, err)
	require.EqualValues(t, 10, j.Append(journal.Entry{}).LastID)
	_, err = journal.Parse("[")
	require.ErrorContains(t, err, journal.EntriesKey)
}

func TestSentence(t *testing.T) {
	t.Parallel()
	entry := journal.Entry{Service: "shop", What: "percentage 5 -> 25", By: "alice (kubectl-edit)", Why: "line\nbreak\x1b[31m"}
	require.Equal(t, "shop percentage 5 -> 25 by alice (kubectl-edit): line break [31m", journal.Journal{}.Append(entry).Entries[0].String())
	require.Equal(t, "everything is paused", journal.Entry{What: "everything is paused"}.String())
}

// TestKinds: a kind that is forgotten in Kinds cannot be named in global.notify.
func TestKinds(t *testing.T) {
	t.Parallel()
	source, err := parser.ParseFile(token.NewFileSet(), "entry.go", nil, 0)
	require.NoError(t, err)
	var declared []journal.Kind
	ast.Inspect(source, func(node ast.Node) bool {
		spec, isValue := node.(*ast.ValueSpec)
		if !isValue || fmt.Sprint(spec.Type) != "Kind" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		declared = append(declared, journal.Kind(text))
		return false
	})
	require.Greater(t, len(declared), 10)
	require.Equal(t, declared, journal.Kinds())
}

func FuzzParse(f *testing.F) {
	f.Add(`{"last_id": 1, "entries": [{"id": 1, "at": "2026-12-01T12:00:00Z", "kind": "share", "what": "x"}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		j, err := journal.Parse(text)
		if err != nil {
			return
		}
		after := j.Append(journal.Entry{What: "x"})
		require.LessOrEqual(t, len(after.Entries), journal.MaxEntries)
	})
}
