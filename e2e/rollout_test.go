package e2e

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestRolloutsLoseNothing replaces all Pods of the installation while clients send
// requests on keep-alive connections and users write Ingresses and configs. No request
// fails, no write is refused or misses admission, and the share, which is a ramp's
// position, stays as it is.
func TestRolloutsLoseNothing(t *testing.T) {
	s := cluster.NewApp(t)
	s.Migrate(50, "  ramp: [50, {to: 60, hold: 24h}]")
	for _, c := range []struct {
		name string
		roll func(t *testing.T)
	}{
		{"proxies", func(t *testing.T) { restart(t, world.Deployment) }},
		{"webhook", func(t *testing.T) { restart(t, world.Webhook) }},
		{"upgrade", func(t *testing.T) {
			cluster.Install(t, "proxy.podAnnotations.upgraded=yes", "webhook.podAnnotations.upgraded=yes")
			cluster.Scale(t, world.Deployment, 2)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { rollUnderLoad(t, s, c.roll) })
	}
}

func restart(t *testing.T, deployment string) {
	t.Helper()
	cluster.Kubectl(t, "rollout", "restart", "deployment/"+deployment, "-n", world.Namespace)
	cluster.WaitForRollout(t, deployment)
	cluster.Scale(t, deployment, 2) // waits until the old Pods have ended
}

func rollUnderLoad(t *testing.T, s *world.App, roll func(t *testing.T)) {
	t.Helper()
	paced := func(load *wire.Load) { load.Connections, load.Rate = 8, 150 }
	uploads := func(load *wire.Load) { load.Method, load.Body = http.MethodPost, strings.Repeat("body ", 1000) }
	many := func(load *wire.Load) { load.Connections, load.Rate = 32, 400 }
	// These connect to the proxy without an ingress controller, which could close a
	// connection in time or repeat a GET.
	direct := func(load *wire.Load) { load.Target = s.ProxyOf("shop") + "." + s.Namespace + ".svc.cluster.local:8000" }
	streams := map[string]*world.Stream{
		"GET": s.Stream(paced), "POST": s.Stream(paced, uploads),
		"GET without a controller": s.Stream(paced, direct), "POST without a controller": s.Stream(many, direct, uploads),
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan writes, 1)
	go func() { done <- writeUntilDone(ctx, s) }()
	roll(t)
	stop()
	written := <-done
	t.Logf("%d writes", written.made)
	require.Empty(t, written.failed)
	for name, stream := range streams {
		report := stream.Stop()
		t.Logf("%s: %d, %d failed", name, report.Sent, report.Failed)
		require.NoError(t, world.Split(report, 50), name)
	}
}
