package e2e

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// fastRamp is a ramp whose steps last as long as the watcher needs to look twice. On a
// busy machine only failures say something about new, so slowness is left out.
const fastRamp = "  ramp: {steps: [20, 60, 99], hold: 1s, judge: {min_requests: 50, max_extra: 20, slow: {allow: 10s}}, back: {every: 1s}}"

// TestRamp lets a share rise by itself, under load. New gets worse, a person lowers the
// percentage, the service falls back, and in the end all is on new. No request fails.
func TestRamp(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Configure(100, fastRamp, "fallback: {failure_ratio: 0.9, recovery_time: 3}")
	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	stream := s.Stream(func(load *wire.Load) { load.Rate = 200 })
	s.WaitForPosition(s.Service, 20)
	s.WaitForSplit(20)
	s.WaitForPosition(s.Service, 60)

	s.Fail(world.New, wire.Outage{Mode: wire.Status, Status: http.StatusServiceUnavailable, Every: 5})
	s.WaitForPosition(s.Service, 20)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")), "new is worse than old, and no failure for the fallback")
	s.WaitForEvent(t, world.Namespace, "ConfigMap", "RampReturned", s.Service)

	s.Proxy(t, "update", s.Service, "10")
	s.WaitForPosition(s.Service, 10)
	s.WaitForSplit(10)
	s.Fail(world.New, wire.Outage{})
	s.Proxy(t, "update", s.Service, "100")
	s.WaitForPosition(s.Service, 20)

	s.Fail(world.New, wire.Outage{Mode: wire.Refuse})
	s.WaitForPhase("shop", fallenBack)
	s.WaitForSplit(0)
	s.Fail(world.New, wire.Outage{})
	s.WaitForPhase("shop", migrating)

	s.Proxy(t, "wait", s.Service, "--for", "done", "--timeout", "5m")
	s.WaitForSplit(99)
	stream.StopWithoutLoss()
}
