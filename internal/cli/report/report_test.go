package report_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/cli/report"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/journal"
)

var noon = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

// history is a migration with a fallback, and with names that want to be markup.
func history() []journal.Entry {
	evidence := &journal.Evidence{
		Since: noon, Old: journal.Side{Requests: 9500, FailedRatio: 0.001, P99: 0.12}, New: journal.Side{Requests: 500, FailedRatio: 0.002, P99: 0.15},
	}
	at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
	return journal.Journal{}.Append(
		journal.Entry{At: at(0), Kind: journal.Share, Service: "shop", To: "5", What: "percentage 5"},
		journal.Entry{At: at(1), Kind: journal.OptedIn, Service: "shop", Object: "web/shop", What: "Ingress opted in", By: "alice (kubectl-annotate)"},
		journal.Entry{At: at(30), Kind: journal.Share, Service: "shop", From: "5", To: "25", What: "percentage 5 -> 25", By: "alice (kubectl-edit)", Evidence: evidence},
		journal.Entry{At: at(40), Kind: journal.FellBack, Service: "shop", From: "Migrating", To: "FallenBack", What: "fell back to old", Why: "2 of 2 ready replicas fell back"},
		journal.Entry{At: at(50), Kind: journal.Changed, What: "settings changed", Why: "<script>alert(1)</script> | `x` [a](javascript:b)", By: `"><img src=x onerror=y>`},
	).Entries
}

func TestGoldens(t *testing.T) {
	t.Parallel()
	made := report.New("ConfigMap migration-proxy/migration-journal", history(), noon.Add(time.Hour))
	for format, file := range map[report.Format]string{report.Markdown: "report.md", report.HTML: "report.html", report.JSON: "report.json"} {
		var text bytes.Buffer
		require.NoError(t, made.Write(&text, format))
		golden.Check(t, "testdata/"+file, text.Bytes())
		if format != report.JSON {
			require.NotContains(t, text.String(), "<script>")
			require.NotContains(t, text.String(), "<img")
			require.NotContains(t, text.String(), "\n| `x`")
		}
	}
}

// TestSteps: a step ends with the next share, and has what was counted until then.
func TestSteps(t *testing.T) {
	t.Parallel()
	steps := report.New("", history(), noon.Add(time.Hour)).Steps
	require.Len(t, steps, 2)
	require.Equal(t, "5", steps[0].Share)
	require.Equal(t, 30*time.Minute, steps[0].To.Sub(steps[0].From))
	require.EqualValues(t, 500, steps[0].Evidence.New.Requests)
	require.True(t, steps[1].Last)
	require.Nil(t, steps[1].Evidence)
	require.Empty(t, report.New("", nil, noon).Steps)
}
