package faults

import (
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// apiProxy is a proxy with one service, "api", and its two backends: old by http, new
// by https.
type apiProxy struct {
	*proxyRun
	old, new *testbed.Backend
}

func newAPIProxy(t *testing.T) *apiProxy {
	t.Helper()
	w := newProxyRun(t)
	return &apiProxy{w, backend(t, testbed.Options{Name: "old"}), w.secured("new").Backend}
}

// api is the service in the config.
func (p *apiProxy) api(more ...string) string {
	return p.service("api", p.old.URL(), p.new.URL(), more...)
}

// waitForShare waits until the status has the service at this percentage.
func (p *apiProxy) waitForShare(percent float64) status.Status {
	p.t.Helper()
	return p.waitFor("the share", func(s status.Status) bool {
		return s.Ready && s.Config.Rejected == nil && len(s.Services) > 0 && s.Services[0].Share == percent
	})
}

// finish makes the row of a fault that began at since and ended at healed. A zero
// healed means that it did not end.
func (p *apiProxy) finish(c *traffic, name string, since, healed time.Time) row {
	r := c.finish(since, healed, p.old, p.new)
	r.group, r.name = "4. Resources of the proxy", name
	return r
}
