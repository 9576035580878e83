package accesslog

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestComparedRequestsCountNowhere: what the agent asks for a comparison is no traffic,
// and a failure of it trips nothing.
func TestComparedRequestsCountNowhere(t *testing.T) {
	t.Parallel()
	line := func(decision string) string {
		return `unix: - - [01/Jan/2024:12:00:00 +0000] "GET /a HTTP/1.1" 502 12 backend="new_backend" upstream_response_time=0.030 ` +
			`request_time=0.040 service="api" decision="` + decision + `" upstream_addr="192.0.2.7:443" upstream_status="502" ` +
			`upstream_connect_time="-" upstream_header_time="-" host="api.example" request_id="1"` + "\n"
	}
	now := time.Now()
	counters := NewCounters(now)
	counters.SetServices([]string{"api"}, now)
	observed := 0
	intake := &Intake{Counters: counters, Log: slog.New(slog.DiscardHandler), Observer: observeFunc(func(*Event, time.Time) { observed++ })}
	intake.Consume([]byte(line("new/compare")+line("old/compare")+line("new/direct")), now)
	require.Equal(t, 1, observed)
	require.Equal(t, uint64(3), counters.Log().Lines)
	rows := []status.Service{{Name: "api"}}
	counters.Fill(rows, now)
	require.InDelta(t, 1, rows[0].New.Failed, 0)

	sent := make(chan []byte, 2)
	sent <- []byte("<190>Jan  1 12:00:00 migration: " + strings.TrimSpace(line("new/compare")))
	sent <- []byte("<190>Jan  1 12:00:00 migration: " + strings.TrimSpace(line("new/direct")))
	close(sent)
	failures := 0
	(&FailureSocket{Observer: observeFunc(func(*Event, time.Time) { failures++ })}).observeAll(sent)
	require.Equal(t, 1, failures)
}
