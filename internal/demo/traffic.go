package demo

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	rate                 = 400 // requests per second, half of them GET and half POST
	connectionsPerMethod = 2
)

// result is the result of one request.
type result struct {
	sent    time.Time
	method  string
	id      string // "" for a GET
	cluster string // that answered
	status  int    // 0 if err is set
	err     error
}

func (r *result) failed() bool { return r.err != nil || r.status >= http.StatusBadRequest }

func (r *result) failure() string {
	if r.err != nil {
		return r.method + ": " + r.err.Error()
	}
	return fmt.Sprintf("%s: %d", r.method, r.status)
}

// counts are the counts of some results.
type counts struct {
	sent, gets, onNew int
	failed            map[string]int // by method
	failures          map[string]int // by what the client got
}

func (c *counts) add(r *result) {
	c.sent++
	if r.method == http.MethodGet {
		c.gets++
	}
	if r.cluster == "new" {
		c.onNew++
	}
	if r.failed() {
		c.failed[r.method]++
		c.failures[r.failure()]++
	}
}

func (c *counts) totalFailed() int { return c.failed[http.MethodGet] + c.failed[http.MethodPost] }

// traffic is clients that never stop, and all results that they got.
type traffic struct {
	request // of the clients: proxy, host and path
	cancel  context.CancelFunc
	clients sync.WaitGroup
	mu      sync.Mutex
	results []result
}

// startTraffic sends requests like the one, rate a second, until stop is called or ctx
// ends.
func startTraffic(ctx context.Context, like request, rate time.Duration) *traffic {
	ctx, cancel := context.WithCancel(ctx)
	t := &traffic{request: like, cancel: cancel}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		schedule := &schedule{start: time.Now(), interval: 2 * time.Second / rate}
		for range connectionsPerMethod {
			t.clients.Go(func() { t.run(ctx, method, schedule) })
		}
	}
	return t
}

// schedule numbers the requests of one method and says when each is due: a slow
// response does not lower the rate.
type schedule struct {
	start    time.Time
	interval time.Duration
	taken    atomic.Int64
}

// next waits until the next request is due. It reports false when ctx ends
// first.
func (s *schedule) next(ctx context.Context) (number int64, ok bool) {
	number = s.taken.Add(1)
	due := s.start.Add(time.Duration(number-1) * s.interval)
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(due)):
	}
	return number, ctx.Err() == nil
}

// run is one client. A request in flight when ctx ends is still waited for.
func (t *traffic) run(ctx context.Context, method string, schedule *schedule) {
	client := newClient()
	defer client.close()
	for {
		number, ok := schedule.next(ctx)
		if !ok {
			return
		}
		r := t.request
		r.method = method
		id := ""
		if method == http.MethodPost {
			id = fmt.Sprintf("%s-%d", r.host, number)
			r.body, r.header = `{"item":"one","amount":1}`, map[string]string{idHeader: id}
		}
		sent := time.Now()
		cluster, status, err := client.send(context.WithoutCancel(ctx), r)
		t.add(result{sent: sent, method: method, id: id, cluster: cluster, status: status, err: err})
	}
}

func (t *traffic) add(r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.results = append(t.results, r)
}

// since counts the requests that were sent after the moment.
func (t *traffic) since(moment time.Time) counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	counted := counts{failed: map[string]int{}, failures: map[string]int{}}
	for i := range t.results {
		if t.results[i].sent.After(moment) {
			counted.add(&t.results[i])
		}
	}
	return counted
}

// await waits until so many requests have been sent and answered since the
// moment, and counts them.
func (t *traffic) await(ctx context.Context, moment time.Time, requests int) (counts, error) {
	enough := poll(ctx, timeout, func() bool { return t.since(moment).sent >= requests })
	counted := t.since(moment)
	if !enough {
		return counted, fmt.Errorf("the traffic has stalled: %d requests in %s", counted.sent, timeout)
	}
	return counted, nil
}

// watch counts the next requests.
func (t *traffic) watch(ctx context.Context, requests int) (counts, error) {
	return t.await(ctx, time.Now(), requests)
}

// stop ends the traffic once the requests in flight are answered, and counts
// all requests.
func (t *traffic) stop() counts {
	t.cancel()
	t.clients.Wait()
	return t.since(time.Time{})
}

// postIDs are the IDs of all POSTs that were sent.
func (t *traffic) postIDs() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var ids []string
	for i := range t.results {
		if t.results[i].method == http.MethodPost {
			ids = append(ids, t.results[i].id)
		}
	}
	return ids
}

// poll waits until the condition holds. It reports false when the timeout or
// the context is over first.
func poll(ctx context.Context, timeout time.Duration, condition func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}
