package sampling

import (
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	// guardPause is how long nothing is asked after a side got worse.
	guardPause = 5 * time.Minute
	// guardSpan is the time between the two readings that are compared.
	guardSpan = time.Minute
	// guardRequests is how many requests of a minute say something.
	guardRequests = 20
	// A side is worse when its figure has doubled, and is above the old one by so much.
	guardFailed  = 0.01
	guardLatency = 0.05 // seconds
)

// guard stops the samples of a service when a side gets worse.
type guard struct {
	readings []reading
	until    time.Time
	why      string
}

type reading struct {
	at       time.Time
	old, new status.Side
}

func (g *guard) paused(now time.Time) string {
	if now.Before(g.until) {
		return g.why
	}
	return ""
}

// read takes the figures of the last minute in.
func (g *guard) read(row *status.Service, now time.Time) {
	if row.Phase == status.FallenBack {
		g.until, g.why = now.Add(guardSpan), "the service has fallen back"
		return
	}
	g.readings = append(g.readings, reading{now, row.Old, row.New})
	for len(g.readings) > 1 && now.Sub(g.readings[1].at) >= guardSpan {
		g.readings = g.readings[1:]
	}
	before := g.readings[0]
	if now.Sub(before.at) < guardSpan {
		return
	}
	for side, pair := range map[migration.Side][2]status.Side{migration.Old: {before.old, row.Old}, migration.New: {before.new, row.New}} {
		if why := worse(pair[0], pair[1]); why != "" {
			g.until, g.why = now.Add(guardPause), fmt.Sprintf("%s %s", side, why)
		}
	}
}

func worse(before, now status.Side) string {
	switch enough := guardRequests / guardSpan.Seconds(); {
	case before.Rate < enough || now.Rate < enough:
		return ""
	case now.Failed > 2*before.Failed && now.Failed > before.Failed+guardFailed:
		return fmt.Sprintf("fails %.1f %% of its requests, a minute ago %.1f %%", 100*now.Failed, 100*before.Failed)
	case now.P99 > 2*before.P99 && now.P99 > before.P99+guardLatency:
		return fmt.Sprintf("has a 99th percentile of %.3f s, a minute ago %.3f s", now.P99, before.P99)
	}
	return ""
}

// ReadFigures takes the figures of all services in; every ten seconds is often enough.
func (s *Sampler) ReadFigures(rows []status.Service, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range rows {
		if w := s.services[migration.Name(rows[i].Name)]; w != nil {
			w.guard.read(&rows[i], now)
		}
	}
}
