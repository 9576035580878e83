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
	only        string // "https": where it can happen; "" is both
	begin, heal func(*side)
}

// loss is what the first net cannot save.
type loss int

const (
	nothing  loss = iota
	underWay      // POSTs that new had when the fault began
	posts         // POSTs that new may have acted upon
	begun         // requests whose answer had begun, or was for the client
)

// side is a new that can be broken: a backend, and the wire to it.
type side struct {
	secured
	*wire
	w *world
}

func answers(script string) func(*side) {
	return func(s *side) { s.Answer(testbed.Do(script)) }
}

func recovers(s *side) { s.Answer(nil) }

// shows restarts new with a certificate that nobody should believe.
func shows(make func(*world) (*tls.Certificate, error)) func(*side) {
	return func(s *side) {
		certificate, err := make(s.w)
		require.NoError(s.w.t, err)
		s.show(s.w.t, certificate)
	}
}

var showsGood = shows(func(w *world) (*tls.Certificate, error) { return w.authority.Server(newHost) })

func stranger(*world) (*tls.Certificate, error) {
	authority, err := testbed.NewAuthority()
	if err != nil {
		return nil, err
	}
	return authority.Server(newHost)
}

var faults = []fault{
	{"is killed, refuses", underWay, "", func(s *side) { s.Kill() }, func(s *side) { require.NoError(s.w.t, s.Revive()) }},
	{"hangs on connect", underWay, "", func(s *side) { s.silence() }, func(s *side) { s.speak() }},
	{"accepts and says nothing", posts, "", func(s *side) { s.hold(true) }, func(s *side) { s.hold(false) }},
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
	{"certificate expired", underWay, "https", shows(func(w *world) (*tls.Certificate, error) { return w.authority.Expired(newHost) }), showsGood},
	{"certificate of another name", underWay, "https", shows(func(w *world) (*tls.Certificate, error) { return w.authority.Server("other.example.com") }), showsGood},
	{"certificate of a stranger", underWay, "https", shows(stranger), showsGood},
}

// TestNewFails breaks new in every way, over http and over https, while
// clients ask; at 100 %, so that the first net alone stands between them and
// new. All faults happen at once, each to a service of its own.
func TestNewFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := backend(t, testbed.Options{Name: "old"})
	var trials []*trial
	var services []string
	for _, f := range faults {
		for _, scheme := range []string{"http", "https"} {
			if f.only != "" && f.only != scheme {
				continue
			}
			tr := w.trial(f, scheme, fmt.Sprintf("s%d", len(trials)))
			trials = append(trials, tr)
			services = append(services, w.service(tr.service, old.URL(), scheme+"://"+tr.address(), all, noTrip, tr.patience()))
		}
	}
	w.start(services...)
	before := w.census()
	var done sync.WaitGroup
	for _, tr := range trials {
		done.Go(func() { tr.run(old) })
	}
	done.Wait()
	for _, tr := range trials {
		t.Run(tr.result.name, tr.judge)
	}
	w.requireNothingLeft(before)
}

// trialConnections is how many requests of a method are under way at most.
const trialConnections = 4

// trial is one fault, its service and what came of it.
type trial struct {
	fault
	w       *world
	service string
	side    *side
	result  row
	kinds   map[string]int
}

func (w *world) trial(f fault, scheme, service string) *trial {
	s := &side{w: w}
	if scheme == "https" {
		s.secured = w.secured("new")
	} else {
		s.secured = secured{Backend: backend(w.t, testbed.Options{Name: "new"})}
	}
	s.wire = lay(w.t, "127.0.0.1:0", s.Addr())
	return &trial{fault: f, w: w, service: service, side: s, result: row{name: f.name + ", " + scheme}}
}

// patience is short only where new makes nginx wait: a machine that is busy
// with other tests must not look like a new that hangs.
func (f fault) patience() string {
	if strings.Contains(f.name, "hangs") || strings.Contains(f.name, "stalls") || strings.Contains(f.name, "says nothing") {
		return hasty
	}
	return patient
}

// address is where nginx finds new: behind the wire, if the wire is what
// breaks.
func (tr *trial) address() string {
	if tr.name == "hangs on connect" || tr.name == "accepts and says nothing" {
		return tr.side.wire.addr()
	}
	return tr.side.Addr()
}

func (tr *trial) run(old *testbed.Backend) {
	name := tr.result.name
	clients := tr.w.clients(tr.service, rates{get: 20, post: 10, connections: trialConnections})
	clients.flows(10)
	since := time.Now()
	tr.begin(tr.side)
	pause(takes(2*time.Second, 15*time.Second))
	healed := time.Now()
	tr.heal(tr.side)
	clients.flows(10)
	tr.result = clients.end(since, healed, old, tr.side.Backend)
	tr.result.group, tr.result.name, tr.result.says = "1. New fails (first net alone)", name, tr.w.says(tr.service)
	tr.kinds = clients.kinds()
}

// pause is how long a fault lasts; nothing is waited for.
func pause(d time.Duration) { time.Sleep(d) }

func (tr *trial) judge(t *testing.T) {
	results.add(t, tr.result)
	t.Log(tr.kinds)
	require.Zero(t, tr.result.duplicates, "duplicated POSTs")
	require.Positive(t, tr.result.get.sent*tr.result.post.sent)
	if tr.loses < begun {
		require.Zero(t, tr.result.get.failed, "failed GETs")
	}
	most := map[loss]int{nothing: 0, underWay: trialConnections, posts: math.MaxInt, begun: math.MaxInt}
	require.LessOrEqual(t, tr.result.post.failed, most[tr.loses], "failed POSTs")
}
