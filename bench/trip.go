package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
)

// measureTrip lets new fail under load, again and again, and takes from new's
// own record how long after the fifth failed request the last one came.
func measureTrip(ctx context.Context, b *bed) error {
	to, err := b.startBackends(ctx, anywhere)
	if err != nil {
		return err
	}
	defer to.stop()
	rows := [][]string{{"load", "new", "trips", "last after the fifth: p50", "p99", "slowest", "requests after the fifth: p50", "most"}}
	for _, load := range []tripLoad{{"400 a second", 400}, {"as fast as answers come", 0}} {
		for _, way := range []string{"reset", "status/503"} {
			lasts, err := b.trips(ctx, to, load, way)
			if err != nil {
				return errors.Join(b.table(rows), fmt.Errorf("%s, %s: %w", load.name, way, err))
			}
			rows = append(rows, append([]string{load.name, "answers with " + way}, lasts.cells()...))
		}
	}
	if err := b.table(rows); err != nil {
		return err
	}
	b.printf("\n16 connections, max_failures 5; aim: below 50 ms\n")
	return nil
}

type tripLoad struct {
	name string
	rate float64 // a second; 0 is no bound
}

// tripTimes are what new saw after the fifth request that it failed.
type tripTimes struct {
	lasts []time.Duration
	more  []int
}

func (t *tripTimes) cells() []string {
	return []string{fmt.Sprint(len(t.lasts)),
		milliseconds(median(t.lasts)), milliseconds(quantile(t.lasts, 0.99)), milliseconds(quantile(t.lasts, 1)),
		fmt.Sprint(median(t.more)), fmt.Sprint(quantile(t.more, 1))}
}

// tripRounds is how many trips are made for each figure of -rounds.
const tripRounds = 15

func (b *bed) trips(ctx context.Context, to backends, load tripLoad, way string) (times *tripTimes, err error) {
	new, err := startMortal()
	if err != nil {
		return nil, err
	}
	defer new.Kill()
	to.new = new.port
	config := services{count: 1, backends: to, shares: map[int]string{0: "100"}}
	// One try a request: new's record then counts what the proxy counts.
	p, err := b.startPlane(ctx, "global: {retry_attempts: 1}\n"+config.yaml(), anywhere)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	loading, end := context.WithCancel(ctx)
	var clients errgroup.Group
	clients.Go(func() error {
		_, err := testbed.Load{URL: "http://" + loopback(p.port) + "/", Host: hostOf(0), Rate: load.rate, Connections: 16}.Run(loading)
		return err
	})
	defer func() {
		end()
		err = errors.Join(err, clients.Wait())
	}()
	times = &tripTimes{}
	for range tripRounds * b.rounds {
		if err := times.trip(ctx, p, new, testbed.Do(way)); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// trip is one: new fails, the service falls back, and an operator brings it
// back to a new that is well.
func (t *tripTimes) trip(ctx context.Context, p *plane, new *mortal, how http.Handler) error {
	if err := pause(ctx, 200*time.Millisecond); err != nil { // all is well
		return err
	}
	new.fail(how)
	if err := p.awaitPhase(ctx, status.FallenBack); err != nil {
		return err
	}
	if err := pause(ctx, 300*time.Millisecond); err != nil { // who else may come
		return err
	}
	failed := new.heal()
	if len(failed) < 5 {
		return fmt.Errorf("it fell back after %d failures", len(failed))
	}
	t.lasts = append(t.lasts, failed[len(failed)-1].Sub(failed[4]))
	t.more = append(t.more, len(failed)-5)
	if err := breaker.Send(ctx, p.runtimeDir(), fallback.Clear, "api-0", "bench"); err != nil {
		return err
	}
	return p.awaitPhase(ctx, status.Migrating)
}

// awaitPhase waits for the log to tell of a service's change; that nginx
// complains of new is what is measured.
func (p *plane) awaitPhase(ctx context.Context, phase status.Phase) error {
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for {
		select {
		case line, more := <-p.log:
			if !more {
				return errors.New("migration-proxy has ended")
			}
			if line.Msg == "fallback" && strings.Contains(line.text, fmt.Sprintf("%q:%q", "to", phase)) {
				return nil
			}
		case <-patience.C:
			return fmt.Errorf("no service is %s within a minute", phase)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// mortal is a new that fails when it is told to, and notes when it is then
// asked.
type mortal struct {
	*testbed.Backend
	port int

	mu    sync.Mutex
	how   http.Handler // nil while it is well
	asked []time.Time
}

func startMortal() (*mortal, error) {
	backend, err := testbed.Start(testbed.Options{Name: "new"})
	if err != nil {
		return nil, err
	}
	m := &mortal{Backend: backend}
	backend.Answer(m)
	if _, err := fmt.Sscanf(backend.Addr(), "127.0.0.1:%d", &m.port); err != nil {
		return nil, errors.Join(err, fmt.Errorf("the port of %s", backend.Addr()))
	}
	return m, nil
}

// ServeHTTP answers, or fails.
func (m *mortal) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	how := m.how
	if how != nil {
		m.asked = append(m.asked, time.Now())
	}
	m.mu.Unlock()
	if how == nil {
		_, _ = w.Write([]byte("new"))
		return
	}
	how.ServeHTTP(w, r)
}

func (m *mortal) fail(how http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.how, m.asked = how, nil
}

// heal makes it well, and gives when it was asked meanwhile.
func (m *mortal) heal() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.how = nil
	return m.asked
}
