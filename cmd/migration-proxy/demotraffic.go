package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

const (
	demoRate        = 400 // requests a second in all
	demoConnections = 2   // for each method
	demoPath        = "/orders"
	demoPostID      = "post"
)

// demoTraffic is clients that never stop, and what they got.
type demoTraffic struct {
	end   context.CancelFunc
	done  sync.WaitGroup
	mu    sync.Mutex
	total tally
	views map[*view]bool
	sent  int // POSTs, known at the end
}

// tally counts answers. Failed is no answer, or a status of 400 and above.
type tally struct {
	sent, gets, onNew int
	failed            map[string]int // by method
	why               map[string]int // failures by what came back
}

func newTally() tally { return tally{failed: map[string]int{}, why: map[string]int{}} }

func (t *tally) add(method string, answer testbed.Answer) {
	t.sent++
	t.gets += count(method == http.MethodGet)
	t.onNew += count(answer.Backend == "new")
	switch {
	case answer.Err != nil:
		t.failed[method]++
		t.why[method+": "+answer.Err.Error()]++
	case answer.Status >= http.StatusBadRequest:
		t.failed[method]++
		t.why[fmt.Sprintf("%s: %d", method, answer.Status)]++
	}
}

func (t *tally) failures() int { return t.failed[http.MethodGet] + t.failed[http.MethodPost] }

func (t *tally) clone() tally {
	copied := *t
	copied.failed, copied.why = maps.Clone(t.failed), maps.Clone(t.why)
	return copied
}

// view counts the requests that began after a moment.
type view struct {
	since time.Time
	tally
}

func startTraffic(ctx context.Context, address string) *demoTraffic {
	ctx, end := context.WithCancel(ctx)
	t := &demoTraffic{end: end, total: newTally(), views: map[*view]bool{}}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		load := testbed.Load{
			URL: "http://" + address + demoPath, Method: method, Host: "shop.example.com",
			Connections: demoConnections, Rate: demoRate / 2, Timeout: demoPatience,
			Each: func(answer testbed.Answer) { t.add(method, answer) },
		}
		if method == http.MethodPost {
			load.ID, load.Body = demoPostID, `{"item":"one","amount":1}`
		}
		t.done.Go(func() { t.run(ctx, load) })
	}
	return t
}

func (t *demoTraffic) run(ctx context.Context, load testbed.Load) {
	report, err := load.Run(ctx)
	must(err)
	if load.Method == http.MethodPost {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.sent = report.Sent
	}
}

func (t *demoTraffic) add(method string, answer testbed.Answer) {
	begun := time.Now().Add(-answer.Latency)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.add(method, answer)
	for view := range t.views {
		if begun.After(view.since) {
			view.add(method, answer)
		}
	}
}

// begin counts from now on.
func (t *demoTraffic) begin() *view {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := &view{since: time.Now(), tally: newTally()}
	t.views[v] = true
	return v
}

// await blocks until the view has seen so many requests.
func (t *demoTraffic) await(ctx context.Context, v *view, enough int) error {
	if !poll(ctx, demoPatience, func() bool { return t.count(v).sent >= enough }) {
		return fmt.Errorf("the traffic has stalled: %d requests in %s", t.count(v).sent, demoPatience)
	}
	return nil
}

func (t *demoTraffic) count(v *view) tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	return v.clone()
}

// watch is begin, await and count.
func (t *demoTraffic) watch(ctx context.Context, enough int) (tally, error) {
	v := t.begin()
	err := t.await(ctx, v, enough)
	return t.count(v), err
}

// posts ends the traffic and gives the number of POSTs that were sent.
func (t *demoTraffic) posts() int {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sent
}

// stop ends the traffic, once it has its answers.
func (t *demoTraffic) stop() tally {
	t.end()
	t.done.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total.clone()
}

// poll asks until the answer is yes; false when the time or the context is
// over first.
func poll(ctx context.Context, patience time.Duration, yes func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
