package faults

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// traffic is a set of clients that send GETs and POSTs on kept connections and repeat
// nothing. Each POST has an id.
type traffic struct {
	t        *testing.T
	stop     context.CancelFunc
	loads    sync.WaitGroup
	id       string
	sent     map[string]int
	mu       sync.Mutex
	failures map[string][]failure
	answered atomic.Int64
}

// failure is a request without an answer, or with a 5xx, and the time of its result.
type failure struct {
	at   time.Time
	what string
}

// rates are requests per second over a number of connections; 0 means as fast as
// possible.
type rates struct {
	get, post   float64
	connections int
}

var ids atomic.Int64

// clients begin to ask for a service.
func (w *proxyRun) clients(service string, r rates) *traffic {
	return clients(w.t, w.listen, service, r)
}

func clients(t *testing.T, listen, service string, r rates) *traffic {
	ctx, stop := context.WithCancel(context.Background())
	c := &traffic{t: t, stop: stop, id: fmt.Sprintf("%s-%d", service, ids.Add(1)), sent: map[string]int{}, failures: map[string][]failure{}}
	for method, rate := range map[string]float64{http.MethodGet: r.get, http.MethodPost: r.post} {
		load := testbed.Load{
			URL: "http://" + listen + "/", Host: service + ".example.com", Method: method, Rate: rate,
			Connections: r.connections, Each: func(a testbed.Answer) { c.record(method, a) },
		}
		if method == http.MethodPost {
			load.ID, load.Body = c.id, "pay"
		}
		c.loads.Go(func() { c.run(ctx, load) })
	}
	t.Cleanup(func() { stop(); c.loads.Wait() })
	return c
}

func (c *traffic) run(ctx context.Context, load testbed.Load) {
	report, err := load.Run(ctx)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent[load.Method] = report.Sent
}

func (c *traffic) record(method string, a testbed.Answer) {
	c.answered.Add(1)
	if a.Err == nil && a.Status < 500 {
		return
	}
	what := fmt.Sprint(a.Status)
	if a.Err != nil {
		what = a.Err.Error()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures[method] = append(c.failures[method], failure{time.Now(), what})
}

// waitForAnswers waits for a number of further answers.
func (c *traffic) waitForAnswers(more int64) {
	c.t.Helper()
	wanted := c.answered.Load() + more
	require.Eventually(c.t, func() bool { return c.answered.Load() >= wanted }, waitTimeout, 2*time.Millisecond, "no traffic")
}

// finish stops the clients and gives their results.
func (c *traffic) finish(begun, healed time.Time, sides ...*testbed.Backend) row {
	c.stop()
	c.loads.Wait()
	return row{
		get:          count{c.sent[http.MethodGet], len(c.failures[http.MethodGet])},
		post:         count{c.sent[http.MethodPost], len(c.failures[http.MethodPost])},
		duplicates:   c.duplicates(sides),
		timeToSafety: c.timeToSafety(begun, healed),
	}
}

// duplicates counts POSTs that arrived more than once, at both backends together.
func (c *traffic) duplicates(sides []*testbed.Backend) int {
	found := 0
	for n := range c.sent[http.MethodPost] {
		arrived := 0
		for _, side := range sides {
			arrived += side.Count(http.MethodPost, "/", fmt.Sprintf("%s-%d", c.id, n+1))
		}
		if arrived > 1 {
			found++
		}
	}
	return found
}

// justBefore is the time before the end of a fault in which a failure means that
// failures would have continued. The slowest service here has a timeout of 500 ms.
const justBefore = 700 * time.Millisecond

// timeToSafety is the time from the fault to the last failure.
func (c *traffic) timeToSafety(begun, healed time.Time) string {
	last := begun
	for _, failures := range c.failures {
		for _, f := range failures {
			if f.at.After(last) {
				last = f.at
			}
		}
	}
	switch {
	case last.Equal(begun):
		return "0"
	case !healed.IsZero() && last.After(healed.Add(-justBefore)):
		return "when it ends"
	}
	return fmt.Sprintf("%d ms", last.Sub(begun).Milliseconds())
}

// kinds counts failures by what the client saw, for the test log.
func (c *traffic) kinds() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	kinds := map[string]int{}
	for method, failures := range c.failures {
		for _, f := range failures {
			kinds[method+" "+f.what]++
		}
	}
	return kinds
}
