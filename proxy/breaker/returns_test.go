package breaker

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

func answeredBy(side migration.Side, code int, id string) *accesslog.Event {
	upstream := accesslog.Upstream{Tries: 1, Status: code, Connected: true, Replied: true}
	event := &accesslog.Event{Service: []byte("api"), RequestID: []byte(id), Status: code, Answered: side, Decision: side}
	if side == migration.New {
		event.New = upstream
	} else {
		event.Old = upstream
	}
	return event
}

func (a *fakeAgent) warnings(at time.Time) [2]string {
	rows := []status.Service{{Name: "api"}}
	a.counters.Fill(rows, at)
	return [2]string{rows[0].Old.Warning, rows[0].New.Warning}
}

// TestRedirectsBackTrip: a redirect to the address that was asked for counts as a
// failure, although the access log calls it a success.
func TestRedirectsBackTrip(t *testing.T) {
	t.Parallel()
	for name, ratio := range map[string]float64{"failures": 0, "ratio": 0.5} {
		a := newBreaker(t.TempDir())
		a.setTable(t, serviceRow("api", func(s *migration.Service) { s.Fallback.FailureRatio = ratio }))
		for i := range 3 {
			event := answeredBy(migration.New, 308, fmt.Sprint(name, i))
			a.ObserveFailure(event, noon)
			a.ObserveRequest(event, noon)
		}
		a.tick(noon.Add(time.Second))
		a.tick(noon.Add(2 * time.Second))
		require.Equal(t, status.FallenBack, a.phases["api"], name)
		require.Contains(t, a.reason, "redirect (308 to the address that was asked for)")
		require.Equal(t, [2]string{"", redirects}, a.warnings(noon))
		require.Equal(t, map[string]float64{"api new redirect": 3}, a.failures(t))
	}
}

// TestLoopsAreNamed: 508 of a side is a warning, logged once, and a failure of new.
func TestLoopsAreNamed(t *testing.T) {
	t.Parallel()
	a := newBreaker(t.TempDir())
	var log bytes.Buffer
	a.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	a.setTable(t, serviceRow("api", nil))
	for i := range 50 {
		a.ObserveRequest(answeredBy(migration.Old, fallback.StatusLoopDetected, fmt.Sprint(i)), noon)
	}
	require.Equal(t, [2]string{comesBack, ""}, a.warnings(noon.Add(time.Minute)))
	require.Equal(t, [2]string{}, a.warnings(noon.Add(time.Hour)))
	require.Equal(t, 1, strings.Count(log.String(), "does not answer clients as it should"))
	for i := range 3 {
		a.ObserveFailure(answeredBy(migration.New, fallback.StatusLoopDetected, fmt.Sprint("new", i)), noon)
	}
	require.Equal(t, status.FallenBack, a.phases["api"])
	require.Equal(t, [2]string{comesBack, comesBack}, a.warnings(noon))
}

// TestEarlyHintsAreNamed: with nginx before 1.29 each side that sends them is a warning,
// logged once, and new does not trip.
func TestEarlyHintsAreNamed(t *testing.T) {
	t.Parallel()
	a := newBreaker(t.TempDir())
	var log bytes.Buffer
	a.options.Log = slog.New(slog.NewTextHandler(&log, nil))
	a.setTable(t, serviceRow("api", nil))
	for i := range 50 {
		a.ObserveRequest(answeredBy(migration.New, statusEarlyHints, fmt.Sprint(i)), noon)
	}
	require.Equal(t, [2]string{"", hints}, a.warnings(noon.Add(time.Minute)))
	a.ObserveRequest(answeredBy(migration.Old, statusEarlyHints, "old"), noon)
	require.Equal(t, [2]string{hints, hints}, a.warnings(noon.Add(time.Minute)))
	require.Equal(t, 2, strings.Count(log.String(), "does not answer clients as it should"))
	require.NotEqual(t, status.FallenBack, a.phases["api"])
}
