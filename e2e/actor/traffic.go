package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// traffic has all clients. Started loads go on by themselves, also without an API
// server.
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
	control.HandleFunc("GET "+wire.PathConnect, func(w http.ResponseWriter, r *http.Request) {
		reply(w, wire.Connected{OK: connects(r.Context(), r.FormValue("address"))}, nil)
	})
}

// connectTimeout is far above what a connection in a cluster takes.
const connectTimeout = 2 * time.Second

func connects(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
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

// load is a running wire.Load.
type load struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu   sync.Mutex
	seen wire.Report
}

const requestTimeout = 30 * time.Second

// begin starts a load, which ends with the context.
func begin(ctx context.Context, target string, asked wire.Load) *load {
	ctx, cancel := context.WithCancel(ctx)
	one := &load{cancel: cancel, ended: make(chan struct{}), seen: wire.Report{
		Sides: map[string]int{}, Statuses: map[int]int{}, First: map[string]time.Time{}, Last: map[string]time.Time{},
	}}
	send := sendRequests
	if asked.GRPC {
		send = makeCalls
	}
	go func() {
		defer close(one.ended)
		if err := send(ctx, target, asked, one.count); err != nil {
			one.count(testbed.Answer{Err: err})
		}
	}()
	return one
}

// sendRequests sends with testbed.Load, which repeats no request: net/http's client would
// hide a lost GET by repeating it.
func sendRequests(ctx context.Context, target string, asked wire.Load, each func(testbed.Answer)) error {
	sending := testbed.Load{
		URL: "http://" + target + asked.Path, Host: asked.Host, Method: asked.Method, Body: asked.Body, Header: http.Header{},
		Connections: asked.Connections, Rate: asked.Rate, Requests: asked.Requests, Timeout: requestTimeout, Reopen: asked.Reloads,
		Each: each,
	}
	for name, value := range asked.Header {
		sending.Header.Set(name, value)
	}
	_, err := sending.Run(ctx)
	return err
}

func (l *load) wait() {
	<-l.ended
	l.cancel()
}

const keptFailures = 10

func (l *load) count(answer testbed.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.seen.Sent++
	if answer.Reopened {
		l.seen.Reopened++
	}
	if err := failure(answer); err != nil {
		l.seen.Failed++
		if len(l.seen.Failures) < keptFailures {
			l.seen.Failures = append(l.seen.Failures, now.Format(time.StampMilli)+" "+err.Error())
		}
	}
	if answer.Err != nil {
		return
	}
	l.seen.Statuses[answer.Status]++
	l.seen.Sides[answer.Backend]++
	if l.seen.Sides[answer.Backend] == 1 {
		l.seen.First[answer.Backend] = now
	}
	l.seen.Last[answer.Backend] = now
}

// failure gives the reason why an answer counts as failed, or nil.
func failure(answer testbed.Answer) error {
	switch {
	case answer.Err != nil:
		return answer.Err
	case answer.Backend == "":
		return fmt.Errorf("status %d, and no backend answered", answer.Status)
	case answer.Status >= http.StatusInternalServerError:
		return fmt.Errorf("status %d from %s", answer.Status, answer.Backend)
	}
	return nil
}

func (l *load) report() wire.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.seen
	seen.Sides, seen.Statuses = maps.Clone(seen.Sides), maps.Clone(seen.Statuses)
	seen.First, seen.Last = maps.Clone(seen.First), maps.Clone(seen.Last)
	seen.Now = time.Now()
	return seen
}
