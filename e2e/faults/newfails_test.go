package faults

import (
	"crypto/tls"
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// fault is one way in which new fails.
type fault struct {
	name        string
	loses       loss
	only        string // "https": only there; "": http and https
	begin, heal func(*side)
}

// loss is what a retry on old cannot save.
type loss int

const (
	nothing  loss = iota
	inFlight      // POSTs in flight when the fault began
	posts         // POSTs that new may have processed
	begun         // requests whose answer had begun, or is not retried
)

// side is a new that can be broken: a backend, and the TCP relay to it.
type side struct {
	secured
	*tcpRelay
	w *proxyRun
}

func answers(script string) func(*side) {
	return func(s *side) { s.Answer(testbed.Do(script)) }
}

func recovers(s *side) { s.Answer(nil) }

// shows restarts new with another certificate.
func shows(make func(*proxyRun) (*tls.Certificate, error)) func(*side) {
	return func(s *side) {
		certificate, err := make(s.w)
		require.NoError(s.w.t, err)
		s.show(s.w.t, certificate)
	}
}

var showsGood = shows(func(w *proxyRun) (*tls.Certificate, error) { return w.authority.Server(newHost) })

func stranger(*proxyRun) (*tls.Certificate, error) {
	authority, err := testbed.NewAuthority()
	if err != nil {
		return nil, err
	}
	return authority.Server(newHost)
}

var faults = []fault{
	{"is killed, refuses", inFlight, "", func(s *side) { s.Kill() }, func(s *side) { require.NoError(s.w.t, s.Revive()) }},
	{"hangs on connect", inFlight, "", func(s *side) { s.dropConnections() }, func(s *side) { s.acceptConnections() }},
	{"accepts and says nothing", posts, "", func(s *side) { s.holdConnections(true) }, func(s *side) { s.holdConnections(false) }},
	{"reads the request and hangs", posts, "", answers("hang"), recovers},
	{"resets after the request", posts, "", answers("reset"), recovers},
	{"closes after the request", posts, "", answers("close"), recovers},
	{"resets within the body", begun, "", answers("reset-body"), recovers},
	{"stalls within the body", begun, "", func(s *side) { s.Answer(http.HandlerFunc(stall)) }, recovers},
	{"a body in 10 pieces, slowly", nothing, "", answers("slow/10"), recovers},
	{"500 (not in on_status)", begun, "", answers("status/500"), recovers},
	{"502", posts, "", answers("status/502"), recovers},
	{"503", posts, "", answers("status/503"), recovers},
	{"504", posts, "", answers("status/504"), recovers},
	{"certificate expired", inFlight, "https", shows(func(w *proxyRun) (*tls.Certificate, error) { return w.authority.Expired(newHost) }), showsGood},
	{"certificate of another name", inFlight, "https", shows(func(w *proxyRun) (*tls.Certificate, error) { return w.authority.Server("other.example.com") }), showsGood},
	{"certificate of a stranger", inFlight, "https", shows(stranger), showsGood},
}

// TestNewFails breaks new in every way, over http and https, under load and at 100 %,
// with trips off: only the retry on old protects clients. All faults happen at the
// same time, each to a service of its own.
func TestNewFails(t *testing.T) {
	t.Parallel()
	w := newProxyRun(t)
	old := backend(t, testbed.Options{Name: "old"})
	var runs []*faultRun
	var services []string
	for _, f := range faults {
		for _, scheme := range []string{"http", "https"} {
			if f.only != "" && f.only != scheme {
				continue
			}
			tr := w.newFaultRun(f, scheme, fmt.Sprintf("s%d", len(runs)))
			runs = append(runs, tr)
			services = append(services, w.service(tr.service, old.URL(), scheme+"://"+tr.address(), percent100, noTrip, tr.timeout()))
		}
	}
	w.start(services...)
	before := w.resources()
	var done sync.WaitGroup
	for _, tr := range runs {
		done.Go(func() { tr.run(old) })
	}
	done.Wait()
	for _, tr := range runs {
		t.Run(tr.result.name, tr.check)
	}
	w.requireNoLeak(before)
}

// faultConnections is the maximum number of requests in flight for each method.
const faultConnections = 4

// faultRun is one fault, its service and the result.
type faultRun struct {
	fault
	w       *proxyRun
	service string
	side    *side
	result  row
	kinds   map[string]int
}

func (w *proxyRun) newFaultRun(f fault, scheme, service string) *faultRun {
	s := &side{w: w}
	if scheme == "https" {
		s.secured = w.secured("new")
	} else {
		s.secured = secured{Backend: backend(w.t, testbed.Options{Name: "new"})}
	}
	s.tcpRelay = newTCPRelay(w.t, "127.0.0.1:0", s.Addr())
	return &faultRun{fault: f, w: w, service: service, side: s, result: row{name: f.name + ", " + scheme}}
}

// timeout is short only where nginx has to wait for new: on a busy machine a slow
// answer must not look like a new that hangs.
func (f fault) timeout() string {
	if strings.Contains(f.name, "hangs") || strings.Contains(f.name, "stalls") || strings.Contains(f.name, "says nothing") {
		return shortTimeout
	}
	return longTimeout
}

// address is the address of new for nginx: the TCP relay, if the fault is in the
// connection.
func (tr *faultRun) address() string {
	if tr.name == "hangs on connect" || tr.name == "accepts and says nothing" {
		return tr.side.tcpRelay.addr()
	}
	return tr.side.Addr()
}

func (tr *faultRun) run(old *testbed.Backend) {
	name := tr.result.name
	clients := tr.w.clients(tr.service, rates{get: 20, post: 10, connections: faultConnections})
	clients.waitForAnswers(10)
	since := time.Now()
	tr.begin(tr.side)
	pause(shortOrLong(2*time.Second, 15*time.Second))
	healed := time.Now()
	tr.heal(tr.side)
	clients.waitForAnswers(10)
	tr.result = clients.finish(since, healed, old, tr.side.Backend)
	tr.result.group, tr.result.name, tr.result.status = "1. New fails (retry on old alone)", name, tr.w.describeService(tr.service)
	tr.kinds = clients.kinds()
}

// pause is the duration of a fault.
func pause(d time.Duration) { time.Sleep(d) }

func (tr *faultRun) check(t *testing.T) {
	results.add(t, tr.result)
	t.Log(tr.kinds)
	require.Zero(t, tr.result.duplicates, "duplicated POSTs")
	require.Positive(t, tr.result.get.sent*tr.result.post.sent)
	if tr.loses < begun {
		require.Zero(t, tr.result.get.failed, "failed GETs")
	}
	most := map[loss]int{nothing: 0, inFlight: faultConnections, posts: math.MaxInt, begun: math.MaxInt}
	require.LessOrEqual(t, tr.result.post.failed, most[tr.loses], "failed POSTs")
}
