package notify_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/notify"
)

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// returned has a value in every field.
func returned() journal.Entry {
	return journal.Entry{
		ID: 41, At: noon, Kind: journal.RampReturned, Service: "shop", Object: "shop/web", From: "25", To: "5",
		What: "ramp went back", Why: "new fails <@here> [more](https://evil.example) often *really* & often", By: "alice (kubectl-edit)",
		Evidence: &journal.Evidence{
			Since: noon.Add(-time.Hour), Replicas: 2, Digest: "0123456789abcdef", Nginx: "1.30.4",
			Old:  journal.Side{Requests: 9500, Failed: 47, Slow: 95, FailedRatio: 0.005, P99: 0.12},
			New:  journal.Side{Requests: 500, Failed: 25, Slow: 6, FailedRatio: 0.05, P99: 0.1304},
			Odds: 10.5, OddsLow: 6.2, OddsHigh: 17, Bad: 1500, Good: 0.001,
		},
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	paused := journal.Entry{ID: 42, At: noon, Kind: journal.Paused, What: "paused: no Ingress points at the proxy", Why: "restore --all"}
	for name, entry := range map[string]journal.Entry{"ramp_returned": returned(), "paused": paused} {
		for _, format := range []migration.NotifyFormat{migration.NotifySlack, migration.NotifyTeams, migration.NotifyJSON} {
			body, err := notify.Body(format, entry)
			require.NoError(t, err)
			var indented bytes.Buffer
			require.NoError(t, json.Indent(&indented, body, "", "  "))
			golden.Check(t, "testdata/"+name+"."+string(format)+".json", append(indented.Bytes(), '\n'))
		}
	}
}

// TestBodyHasTheWholeEntry: whatever a format looks like, nothing of the entry is missing.
func TestBodyHasTheWholeEntry(t *testing.T) {
	t.Parallel()
	for _, format := range []migration.NotifyFormat{migration.NotifySlack, migration.NotifyTeams} {
		body, err := notify.Body(format, returned())
		require.NoError(t, err)
		for _, part := range []string{
			"shop", "ramp went back", "evil.example", "alice (kubectl-edit)", "shop/web", "25", "9500", "47 failed", "95 slow", "500 requests",
			"10.50", "6.20", "17.00", "1.5e+03", "0.001", "2 replicas", "0123456789abcdef", "1.30.4", "entry 41", "ramp_returned", "11:00:00", "12:00:00",
		} {
			require.Contains(t, string(body), part, format)
		}
	}
	body, err := notify.Body(migration.NotifyJSON, returned())
	require.NoError(t, err)
	var entry journal.Entry
	require.NoError(t, json.Unmarshal(body, &entry))
	require.Equal(t, returned(), entry)
}

// TestSlackLimits: Slack refuses a message with a text that is too long.
func TestSlackLimits(t *testing.T) {
	t.Parallel()
	entry := returned()
	entry.What, entry.Why = strings.Repeat("ä", 300), strings.Repeat("ö", 4000)
	body, err := notify.Body(migration.NotifySlack, entry)
	require.NoError(t, err)
	var message struct {
		Blocks []struct{ Text struct{ Text string } }
	}
	require.NoError(t, json.Unmarshal(body, &message))
	require.Len(t, []rune(message.Blocks[0].Text.Text), 150)
	require.Len(t, []rune(message.Blocks[1].Text.Text), 3000)
}

func TestWants(t *testing.T) {
	t.Parallel()
	all := migration.NotifyTarget{On: []string{"paused", "ramp_returned"}}
	shop, api := all, all
	shop.Services, api.Services = []migration.Name{"shop"}, []migration.Name{"api"}
	require.True(t, notify.Wants(all, returned()))
	require.True(t, notify.Wants(shop, returned()))
	require.False(t, notify.Wants(api, returned()))
	require.True(t, notify.Wants(api, journal.Entry{Kind: journal.Paused}), "it concerns all")
	require.False(t, notify.Wants(all, journal.Entry{Kind: journal.Share, Service: "shop"}))
}
