package report_test

import (
	"bytes"
	"fmt"
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
		journal.Entry{At: at(40), Kind: journal.FellBack, Service: "shop", From: "Migrating", To: "FallenBack", What: "fell back to old", Why: "2 of 2 ready replicas fell back", Evidence: evidence},
		journal.Entry{At: at(45), Kind: journal.Recovered, Service: "shop", From: "FallenBack", To: "Migrating", What: "traffic goes through the proxy again, after FallenBack"},
		journal.Entry{At: at(47), Kind: journal.FellBack, Service: "shop", From: "Migrating", To: "FallenBack", What: "fell back to old", Why: "drill by alice", Drill: true},
		journal.Entry{At: at(48), Kind: journal.Recovered, Service: "shop", From: "FallenBack", To: "Migrating", What: "traffic goes through the proxy again, after FallenBack"},
		journal.Entry{At: at(48), Kind: journal.Drilled, Service: "shop", What: "drill ended", Why: "0 were lost", By: "alice", Drill: true},
		journal.Entry{At: at(49), Kind: journal.Share, Service: "blog", To: "100", What: "added, percentage 100"},
		journal.Entry{At: at(51), Kind: journal.RampAdvanced, Service: "blog", From: "0", To: "1", What: "share 0 -> 1", Why: "the ramp begins", Evidence: evidence},
		journal.Entry{At: at(55), Kind: journal.RampReturned, Service: "blog", From: "1", To: "0", What: "share 1 -> 0", Why: "new fails 5 times as often", Evidence: evidence},
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
	made := report.New("", history(), noon.Add(time.Hour))
	steps := made.Steps
	require.Len(t, steps, 5)
	var shares []string
	for _, step := range steps {
		shares = append(shares, fmt.Sprintf("%s %s for %s: %d %+d", step.Service, step.Share, step.To.Sub(step.From), step.Users, step.Moved))
	}
	require.Equal(t, []string{
		"blog 0 for 2m0s: 0 +0", "blog 1 for 4m0s: 100 +100", "blog 0 for 5m0s: 0 -100", "shop 5 for 30m0s: 500 +500", "shop 25 for 30m0s: 2500 +2000",
	}, shares, "a ramp begins at 0, whatever the percentage is")
	require.EqualValues(t, 500, steps[3].Evidence.New.Requests)
	require.Equal(t, "alice (kubectl-edit)", steps[4].By)
	require.True(t, steps[4].Last)
	require.EqualValues(t, 500, steps[4].Evidence.New.Requests, "what the fallback counted")

	require.Len(t, made.Returns, 3)
	require.Equal(t, journal.RampReturned, made.Returns[0].Kind)
	require.Equal(t, "1", made.Returns[0].Share)
	require.Equal(t, 5*time.Minute, made.Returns[1].To.Sub(made.Returns[1].At))
	require.Equal(t, "25", made.Returns[1].Share)
	require.True(t, made.Returns[2].Drill)
	require.Empty(t, report.New("", nil, noon).Steps)
}
