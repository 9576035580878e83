package e2e

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// parityRamp waits for nothing but that both sides answer alike.
const parityRamp = "  ramp: {steps: [20, 99], hold: 1s, parity: 99, judge: {min_requests: 50, max_extra: 20, slow: {allow: 10s}}}"

// pausedTime is longer than replicas compare nothing after a side got worse, as it may on a
// busy machine.
const pausedTime = 7 * time.Minute

// TestParityHoldsTheRamp: new differs in one way, so no client gets there, and ramp and
// compare name the difference. No request fails, and nobody's cookie leaves. That the ramp
// goes on when new is mended is tested in proxy/dataplane, without a cluster.
func TestParityHoldsTheRamp(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Fail(world.New, wire.Outage{Mode: wire.Status, Status: http.StatusNonAuthoritativeInfo})
	s.Configure(100, parityRamp, "compare: {continuous: true}")
	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	var streams []*world.Stream
	for _, path := range []string{"/", "/cart", "/help"} { // a route gets 20 samples an hour
		streams = append(streams, s.Stream(world.To(path), world.Header("Cookie", "session=secret"), func(load *wire.Load) { load.Rate = 100 }))
	}

	const difference = "203 on new, 200 on old"
	world.EventuallyWithin(t, pausedTime, "the ramp waits, and says for what", func(context.Context) error {
		shown := s.Proxy(t, "ramp", s.Service)
		if !strings.Contains(shown, "both sides answer alike on 0.00 %") || !strings.Contains(shown, difference) {
			return errors.New(shown)
		}
		return nil
	})
	found := s.Try(t, s.ProxyCommand("compare", s.Service, "--for", "5s", "--match", "99"))
	t.Log(found.Output)
	require.Equal(t, 1, found.Code, "below --match, or nothing compared in this time")
	found = s.Try(t, s.ProxyCommand("compare", s.Service, "--match", "99"))
	t.Log(found.Output)
	require.Equal(t, 1, found.Code)
	require.Contains(t, found.Output, difference)
	require.Contains(t, found.Output, "100.0 %", "all replicas are asked, and all routes")
	seen := s.Counts(world.New).Last
	require.Equal(t, "migration-proxy-compare", strings.Join(seen.Header["User-Agent"], ""), "nobody else has been at new")
	require.Empty(t, seen.Header["Cookie"])

	for _, stream := range streams {
		stream.StopWithoutLoss()
	}
}
