package webhook

import (
	"context"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

const (
	portsTimeout = time.Second     // for all look-ups of one request
	portsTTL     = 5 * time.Second // a burst of applies reads a Service once; the watcher repairs later changes
	maxCached    = 1024            // Services
)

// portCache looks up named ports of Services. Few Ingresses use them, so it
// reads single Services instead of watching all.
type portCache struct {
	client typedcorev1.ServicesGetter
	log    *slog.Logger
	cached *cache.LRUExpireCache // types.NamespacedName to map[string]int32
}

func newPortCache(client typedcorev1.ServicesGetter, log *slog.Logger) *portCache {
	return &portCache{client: client, log: log, cached: cache.NewLRUExpireCache(maxCached)}
}

// portLookup is the portCache for one request: its namespace and its deadline.
type portLookup struct {
	*portCache
	ctx       context.Context
	namespace string
	deadline  time.Time // zero before the first look-up
}

// PortNumber implements ingressgen.PortLookup.
func (p *portLookup) PortNumber(service, name string) (int32, bool) {
	key := types.NamespacedName{Namespace: p.namespace, Name: service}
	cached, ok := p.cached.Get(key)
	if !ok {
		cached = p.read(key)
	}
	number, ok := cached.(map[string]int32)[name]
	return number, ok
}

// ExternalPort implements ingressgen.PortLookup: admission does not decide this.
func (p *portLookup) ExternalPort(string, int32) int32 { return 0 }

// Service implements ingressgen.PortLookup: admission does not decide by it.
func (p *portLookup) Service(string) *corev1.Service { return nil }

// read caches that a Service does not exist, but not that it could not be read.
func (p *portLookup) read(key types.NamespacedName) map[string]int32 {
	if p.deadline.IsZero() {
		p.deadline = time.Now().Add(portsTimeout)
	}
	ctx, cancel := context.WithDeadline(p.ctx, p.deadline)
	defer cancel()
	numbers, err := kube.ServicePorts(ctx, p.client, key.Namespace, key.Name)
	if err != nil {
		p.log.Warn("named port not looked up, treating it as unknown", "error", err)
		return nil
	}
	p.cached.Add(key, numbers, portsTTL)
	return numbers
}
