package browser

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/internal/pageserver"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// story is a source whose state is another one at each reading: all numbers of state n
// are n.
type story struct {
	names []string
	fixed bool // one state, for screenshots
	n     atomic.Int64
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

func thousand() *story {
	s := &story{}
	for i := range 1000 {
		s.names = append(s.names, fmt.Sprintf("s%04d", i))
	}
	return s
}

// Snapshot implements pageserver.Source.
func (s *story) Snapshot(context.Context) (page.Snapshot, error) {
	n := s.n.Add(1)
	if s.fixed {
		n = 25
	}
	snap := page.Snapshot{Place: "test", Headline: fmt.Sprintf("state %d", n%100), At: time.Now(), Ramps: map[string]rampview.Row{}}
	if s.fixed {
		snap.Headline, snap.Place, snap.At = "2 of 2 replicas ready, all serve 289d5f5fe762538a of migration-proxy/migration-config", "namespace migration-proxy", noon
		snap.Replicas = []page.Replica{{Pod: "migration-proxy-6f4-x2k", Ready: "true", Serves: "289d5f5fe762538a", Since: "3h12m", Version: "v0.4.0", Nginx: "1.30.4"}}
	}
	for i, name := range s.names {
		snap.Services = append(snap.Services, s.service(name, i, float64(n%100)))
	}
	s.addStory(&snap)
	return snap, nil
}

func (s *story) service(name string, i int, share float64) page.Service {
	one := page.Service{Service: status.Service{
		Name: name, OldHost: name + ".example.com", PathPrefix: "/", Strategy: "weight", Phase: status.Migrating, Share: share,
		Observed: new(share), ObservedRequests: 5000, Split: status.Split{Since: noon, Share: share},
		Old: status.Side{Backend: "http://old.web:80", Rate: 80.2 + float64(i%7), Failed: 0.004, P50: 0.012, P99: 0.18},
		New: status.Side{Backend: "https://new.example.net", Rate: 26.7, Failed: 0.003, P50: 0.011, P99: 0.21},
	}}
	one.Replicas = []page.ReplicaShare{{Pod: "a", Share: share, Observed: new(share), Requests: 2500, Phase: status.Migrating}, {Pod: "b", Share: share, Observed: new(share), Requests: 2500, Phase: status.Migrating}}
	return one
}

// addStory gives the first services something to tell.
func (s *story) addStory(snap *page.Snapshot) {
	first := &snap.Services[0]
	first.Ramp = &status.Ramp{Ceiling: 100, Position: first.Share}
	snap.Ramps[first.Name] = rampview.Row{
		Service: first.Name, Position: first.Share, Ceiling: 100, Next: 50, Phase: ramp.Waiting, Reason: ramp.ReasonAsk, Why: "a person must approve the step to 50 %", NeedsPerson: true,
		Evidence: &rampview.Evidence{Failures: ramp.Odds{Ratio: 0.9, Low: 0.5, High: 1.6}},
		Summary: ramp.Summary{
			Old: ramp.Counts{Requests: 9000, Failed: 36}, New: ramp.Counts{Requests: 2950, Failed: 10}, Wanted: 600,
			Failures: ramp.Odds{Ratio: 0.9, Low: 0.5, High: 1.6}, Held: 30 * time.Minute, Hold: 30 * time.Minute,
		},
	}
	if len(snap.Services) > 2 {
		snap.Services[1].Phase, snap.Services[1].Reason, snap.Services[1].New.Rate = status.FallenBack, "5 failures within 60 s: 502 of https://new.example.net", 0
		snap.Services[2].New.Unresolved = "new.example.net: no such host"
	}
}

// Detail implements pageserver.Source.
func (s *story) Detail(_ context.Context, one *page.Service) page.Detail {
	d := page.Detail{
		Journal: []journal.Entry{
			{At: noon.Add(-20 * time.Minute), What: "ramp 5 -> 25", Why: "new is as good as old"},
			{At: noon.Add(-5 * time.Hour), What: "percentage 0 -> 100", By: "alice (kubectl-edit)"},
		},
		Ingresses: []page.Ingress{{Name: "web/shop", Phase: "Migrating"}, {Name: "web/shop-legacy", Phase: "Bypassed", Reason: "annotation server-alias: the proxy has no service for the alias"}},
		Events:    []page.Event{{At: noon.Add(-20 * time.Minute), Object: "web/shop", Reason: "Rewritten", Text: "points at the proxy"}},
		History:   history.Document{Service: one.Name, IntervalSeconds: 60, Since: noon},
	}
	now := time.Now()
	if s.fixed {
		now = noon
	}
	for i := range history.Points {
		share := []float64{0, 5, 25}[i*3/history.Points]
		d.History.Points = append(d.History.Points, history.Point{
			At: now.Add(time.Duration(i-history.Points) * time.Minute), Share: share, Observed: new(share + float64(i%5)/2),
			Old: history.Side{Rate: 100 - share, Failed: 0.004 + float64(i%11)/4000, P99: 0.18 + float64(i%13)/400}, New: history.Side{Rate: share, Failed: 0.003 + float64(i%7)/4000, P99: 0.2 + float64(i%17)/400},
		})
	}
	return d
}

// Table implements pageserver.Source.
func (s *story) Table(context.Context) (*migration.Table, error) {
	return config.Load("c", []byte(`services:
- name: s0000
  old_host: s0000.example.com
  old_backend: a:80
  new_host: b
  new_backend: b:80
  migration: {enabled: true, percentage: 100, ramp: {steps: [5, 100]}}
  canary: {header_rules: [{header: X-Side, value: new, target: new_cluster}]}
`))
}

// site serves the page at one address, which can go away and come back.
type site struct {
	t       *testing.T
	from    *story
	address string
	server  *http.Server
}

func newSite(t *testing.T, from *story) *site {
	t.Helper()
	s := &site{t: t, from: from, address: "127.0.0.1:0"}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) url() string { return "http://" + s.address + "/" }

func (s *site) start() {
	s.t.Helper()
	listener, err := net.Listen("tcp", s.address)
	require.NoError(s.t, err)
	s.address = listener.Addr().String()
	s.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: pageserver.New(pageserver.Options{
		Source: s.from, Place: "test", Interval: 500 * time.Millisecond, DetailInterval: time.Second, Allow: pageserver.OwnAddress,
	})}
	go func(server *http.Server) { _ = server.Serve(listener) }(s.server) // ends with stop
}

func (s *site) stop() { _ = s.server.Close() }
