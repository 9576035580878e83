package faults

import (
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// pair is a proxy for one service, "api", and its two sides: old by http, new
// by https.
type pair struct {
	*world
	old, new *testbed.Backend
}

func newPair(t *testing.T) *pair {
	t.Helper()
	w := newWorld(t)
	return &pair{w, backend(t, testbed.Options{Name: "old"}), w.secured("new").Backend}
}

// api is the service as the config has it.
func (p *pair) api(more ...string) string { return p.service("api", p.old.URL(), p.new.URL(), more...) }

// awaitShare waits until the status has the service at this share.
func (p *pair) awaitShare(percent float64) status.Status {
	p.t.Helper()
	return p.await("the share", func(s status.Status) bool {
		return s.Ready && s.Config.Rejected == nil && len(s.Services) > 0 && s.Services[0].Share == percent
	})
}

// ends makes the row of a fault that lasted from since, and goes on when
// healed is zero.
func (p *pair) ends(c *traffic, name string, since, healed time.Time) row {
	r := c.end(since, healed, p.old, p.new)
	r.group, r.name = "4. What the proxy itself lives on", name
	return r
}
