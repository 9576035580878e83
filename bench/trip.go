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

// measureTrip lets new fail under load, again and again. From the requests that new
// recorded it takes how long after the fifth failed request the last one came.
func measureTrip(ctx context.Context, h *harness) error {
	to, err := h.startBackends(ctx, anyCPU)
	if err != nil {
		return err
	}
	defer to.stop()
	rows := [][]string{{"load", "new", "trips", "last after the fifth: p50", "slowest", "requests after the fifth: p50", "most"}}
	for _, load := range []tripLoad{{"400 a second", 400}, {"as fast as answers come", 0}} {
		for _, way := range []string{"reset", "status/503"} {
			lasts, err := h.trips(ctx, to, load, way)
			if err != nil {
				return errors.Join(h.table(rows), fmt.Errorf("%s, %s: %w", load.name, way, err))
			}
			rows = append(rows, append([]string{load.name, "answers with " + way}, lasts.cells()...))
		}
	}
	if err := h.table(rows); err != nil {
		return err
	}
	h.printf("\n16 connections, max_failures 5; aim: below 50 ms\n")
	return nil
}

type tripLoad struct {
	name string
	rate float64 // requests per second; 0 means no limit
}

// tripTimes are, for each trip, the time from the fifth failed request to the last
// one, and the number of requests after the fifth.
type tripTimes struct {
	lasts []time.Duration
	more  []int
}

func (t *tripTimes) cells() []string {
	return []string{fmt.Sprint(len(t.lasts)),
		milliseconds(median(t.lasts)), milliseconds(quantile(t.lasts, 1)),
		fmt.Sprint(median(t.more)), fmt.Sprint(quantile(t.more, 1))}
}

// tripRounds is the number of trips in each round.
const tripRounds = 6

func (h *harness) trips(ctx context.Context, to backends, load tripLoad, way string) (times *tripTimes, err error) {
	new, err := startFailingBackend()
	if err != nil {
		return nil, err
	}
	defer new.Kill()
	to.new = new.port
	config := services{count: 1, backends: to, shares: map[int]string{0: "100"}}
	// With one try per request, new counts the same failures as the proxy.
	p, err := h.startProxy(ctx, "global: {retry_attempts: 1}\n"+config.yaml(), anyCPU)
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
	for range tripRounds * h.rounds {
		if err := times.trip(ctx, p, new, testbed.Do(way)); err != nil {
			return nil, err
		}
	}
	return times, nil
}

// trip makes one trip: new fails, the service falls back, new works again and an
// operator ends the fallback.
func (t *tripTimes) trip(ctx context.Context, p *proxyProcess, new *failingBackend, how http.Handler) error {
	if err := pause(ctx, 200*time.Millisecond); err != nil { // of successful requests
		return err
	}
	new.fail(how)
	if err := p.waitForPhase(ctx, status.FallenBack); err != nil {
		return err
	}
	if err := pause(ctx, 300*time.Millisecond); err != nil { // for late requests
		return err
	}
	failed := new.heal()
	if len(failed) < 5 {
		return fmt.Errorf("it fell back after %d failures", len(failed))
	}
	t.lasts = append(t.lasts, failed[len(failed)-1].Sub(failed[4]))
	t.more = append(t.more, len(failed)-5)
	if err := breaker.SendCommand(ctx, p.runtimeDir(), breaker.Order{Command: fallback.Clear, Service: "api-0", By: "bench"}); err != nil {
		return err
	}
	return p.waitForPhase(ctx, status.Migrating)
}

// waitForPhase waits until the log reports that a service is in the phase. Errors
// of nginx about new are expected here.
func (p *proxyProcess) waitForPhase(ctx context.Context, phase status.Phase) error {
	timeout := time.NewTimer(time.Minute)
	defer timeout.Stop()
	for {
		select {
		case line, more := <-p.log:
			if !more {
				return errors.New("migration-proxy has ended")
			}
			if line.Msg == "fallback transition" && strings.Contains(line.text, fmt.Sprintf("%q:%q", "to", phase)) {
				return nil
			}
		case <-timeout.C:
			return fmt.Errorf("no service is %s within a minute", phase)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// failingBackend is a backend that fails on demand and records when requests come
// while it does.
type failingBackend struct {
	*testbed.Backend
	port int

	mu       sync.Mutex
	failure  http.Handler // nil while it works
	requests []time.Time  // while it fails
}

func startFailingBackend() (*failingBackend, error) {
	backend, err := testbed.Start(testbed.Options{Name: "new"})
	if err != nil {
		return nil, err
	}
	m := &failingBackend{Backend: backend}
	backend.Answer(m)
	if _, err := fmt.Sscanf(backend.Addr(), "127.0.0.1:%d", &m.port); err != nil {
		return nil, errors.Join(err, fmt.Errorf("the port of %s", backend.Addr()))
	}
	return m, nil
}

// ServeHTTP answers, or fails.
func (m *failingBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	failure := m.failure
	if failure != nil {
		m.requests = append(m.requests, time.Now())
	}
	m.mu.Unlock()
	if failure == nil {
		_, _ = w.Write([]byte("new"))
		return
	}
	failure.ServeHTTP(w, r)
}

func (m *failingBackend) fail(failure http.Handler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure, m.requests = failure, nil
}

// heal makes it work again, and gives the times of the requests that it failed.
func (m *failingBackend) heal() []time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = nil
	return m.requests
}
