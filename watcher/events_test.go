package watcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/cluster"
	"github.com/migration-proxy/migration-proxy/status"
)

// TestEventsStandInNobodysWay: a new leader has an Event to write for each
// Ingress with a warning, and mirrors endpoints meanwhile.
func TestEventsStandInNobodysWay(t *testing.T) {
	const warned = 2500
	w := newWorld(t, 2)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	unknown := w.ingress("unknown")
	w.create(unknown)
	stop := w.watch()
	w.until("api", status.Migrating, cluster.ProxyService)
	unknown.Annotations = w.until("unknown", status.Bypassed, "unknown").Annotations
	w.event(w.app, "unknown", "NotRewritten")
	stop()
	w.createAll(warned, func(i int) *networkingv1.Ingress { // as the watcher leaves them: no write is due
		return renamed(unknown.DeepCopy(), fmt.Sprintf("unknown-%d", i))
	})
	started, _ := w.start(w.options())
	w.eventually(func() bool { return w.gather(started)["migration_proxy_ingresses Bypassed"] > warned }, "all are looked at")
	w.proxies[0].ready = false
	began := time.Now()
	w.endpoints()
	w.eventually(func() bool { return !*w.mirrored(cluster.ProxyService)[0].Endpoints[0].Conditions.Ready }, "the endpoint")
	require.Less(t, time.Since(began), time.Second)
	t.Logf("mirrored after %s", time.Since(began))
}
