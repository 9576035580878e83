package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// traffic is all clients. Loads that were started go on without anybody
// asking, so also while the API server is away.
type traffic struct {
	target string
	mu     sync.Mutex
	loads  map[string]*load
}

func runTraffic(ctx context.Context, args []string, control *http.ServeMux) error {
	t := &traffic{loads: map[string]*load{}}
	err := flags("traffic", args, func(set *flag.FlagSet) {
		set.StringVar(&t.target, "target", "", "HOST:PORT of the ingress controller")
	})
	if err != nil {
		return err
	}
	t.register(ctx, control)
	return serve(ctx, wire.ControlPort, control)
}

func (t *traffic) register(ctx context.Context, control *http.ServeMux) {
	control.HandleFunc("GET "+wire.PathReady, func(http.ResponseWriter, *http.Request) {})
	control.HandleFunc("POST "+wire.PathRun, exchange(t.run))
	control.HandleFunc("POST "+wire.PathStart, exchange(func(_ context.Context, asked wire.Load) (wire.Report, error) {
		return t.start(ctx, asked)
	}))
	control.HandleFunc("GET "+wire.PathWatch, func(w http.ResponseWriter, r *http.Request) {
		report, err := t.watch(r.FormValue("name"))
		reply(w, report, err)
	})
	control.HandleFunc("POST "+wire.PathStop, func(w http.ResponseWriter, r *http.Request) {
		report, err := t.stop(r.FormValue("name"))
		reply(w, report, err)
	})
}

func (t *traffic) run(ctx context.Context, asked wire.Load) (wire.Report, error) {
	if asked.Requests == 0 {
		return wire.Report{}, fmt.Errorf("it would never end: say how many requests, or use %s", wire.PathStart)
	}
	one := begin(ctx, cmp.Or(asked.Target, t.target), asked)
	one.wait()
	return one.report(), nil
}

func (t *traffic) start(ctx context.Context, asked wire.Load) (wire.Report, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, twice := t.loads[asked.Name]; twice || asked.Name == "" {
		return wire.Report{}, fmt.Errorf("the load needs a name of its own, not %q", asked.Name)
	}
	t.loads[asked.Name] = begin(ctx, cmp.Or(asked.Target, t.target), asked)
	return t.loads[asked.Name].report(), nil
}

func (t *traffic) watch(name string) (wire.Report, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.loads[name]
	if !ok {
		return wire.Report{}, fmt.Errorf("no load is named %q", name)
	}
	return one.report(), nil
}

func (t *traffic) stop(name string) (wire.Report, error) {
	t.mu.Lock()
	one, ok := t.loads[name]
	delete(t.loads, name)
	t.mu.Unlock()
	if !ok {
		return wire.Report{}, fmt.Errorf("no load is named %q", name)
	}
	one.cancel()
	one.wait()
	return one.report(), nil
}

// load is one wire.Load under way.
type load struct {
	asked   wire.Load
	client  *http.Client
	cancel  context.CancelFunc
	clients errgroup.Group

	mu   sync.Mutex
	sent int // begun, for the bound and the pace
	seen wire.Report
}

const requestTimeout = 30 * time.Second

func begin(ctx context.Context, target string, asked wire.Load) *load {
	ctx, cancel := context.WithCancel(ctx)
	asked.Connections = max(asked.Connections, 1)
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	one := &load{asked: asked, cancel: cancel, seen: wire.Report{
		Sides: map[string]int{}, Statuses: map[int]int{}, Ingress: map[string]int{},
		First: map[string]time.Time{}, Last: map[string]time.Time{},
	}}
	one.client = &http.Client{
		Timeout: requestTimeout,
		Transport: &http.Transport{
			MaxIdleConnsPerHost: asked.Connections,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, network, target)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for range asked.Connections {
		one.clients.Go(func() error { one.send(ctx); return nil })
	}
	return one
}

func (l *load) wait() {
	_ = l.clients.Wait() // the clients give no error
	l.cancel()
	l.client.CloseIdleConnections()
}

// send asks again and again. The end of the context ends no request that is
// under way: it would look like a failure.
func (l *load) send(ctx context.Context) {
	began := time.Now()
	for ctx.Err() == nil {
		n := l.next()
		if l.asked.Requests > 0 && n > l.asked.Requests {
			return
		}
		if !l.pace(ctx, began, n) {
			return
		}
		l.one(context.WithoutCancel(ctx))
	}
}

func (l *load) next() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	return l.sent
}

// pace waits until request n is due; false if the context ended before.
func (l *load) pace(ctx context.Context, began time.Time, n int) bool {
	if l.asked.Rate <= 0 {
		return true
	}
	due := began.Add(time.Duration(float64(n-1) / l.asked.Rate * float64(time.Second)))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (l *load) one(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, l.asked.Method, "http://"+l.asked.Host+l.asked.Path, strings.NewReader(l.asked.Body))
	if err != nil {
		l.count(nil, nil, err)
		return
	}
	for name, value := range l.asked.Header {
		request.Header.Set(name, value)
	}
	answer, err := l.client.Do(request)
	if err != nil {
		l.count(nil, nil, err)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	l.count(answer, body, err)
}

const keptFailures = 10

func (l *load) count(answer *http.Response, body []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.seen.Sent++
	if err == nil && answer.StatusCode >= http.StatusInternalServerError {
		err = fmt.Errorf("status %d from %q: %.200s", answer.StatusCode, answer.Header.Get(wire.BackendHeader), body)
	}
	if err != nil {
		l.seen.Failed++
		if len(l.seen.Failures) < keptFailures {
			l.seen.Failures = append(l.seen.Failures, now.Format(time.StampMilli)+" "+err.Error())
		}
	}
	if answer == nil {
		return
	}
	l.seen.Statuses[answer.StatusCode]++
	l.seen.Ingress[answer.Header.Get(wire.IngressHeader)]++
	side := answer.Header.Get(wire.BackendHeader)
	l.seen.Sides[side]++
	if l.seen.Sides[side] == 1 {
		l.seen.First[side] = now
	}
	l.seen.Last[side] = now
	var echo wire.Echo
	if json.Unmarshal(body, &echo) == nil {
		l.seen.Sample = &echo
	}
}

func (l *load) report() wire.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen
	seen.Sides, seen.Statuses, seen.Ingress = maps.Clone(seen.Sides), maps.Clone(seen.Statuses), maps.Clone(seen.Ingress)
	seen.First, seen.Last = maps.Clone(seen.First), maps.Clone(seen.Last)
	seen.Now = time.Now()
	return seen
}
