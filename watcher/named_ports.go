package watcher

import (
	"context"
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// namedPorts looks up named ports for one Ingress. It keeps the last error,
// because a port that cannot be looked up now may exist.
type namedPorts struct {
	ctx       context.Context
	client    kubernetes.Interface
	namespace string
	missing   bool // a port does not exist
	err       error
}

// PortNumber implements ingressgen.PortLookup.
func (p *namedPorts) PortNumber(service, name string) (int32, bool) {
	ctx, cancel := withRequestTimeout(p.ctx)
	defer cancel()
	numbers, err := kube.ServicePorts(ctx, p.client.CoreV1(), p.namespace, service)
	if err != nil {
		p.err = fmt.Errorf("look up port %s: %w", name, err)
		return 0, false
	}
	number, ok := numbers[name]
	p.missing = p.missing || !ok
	return number, ok
}

// portRetryDelay is when to look again for a port that does not exist. The
// Services of applications are not followed, and a folder of manifests may
// have the Ingress a moment before the Service.
//
//	age of the Ingress    0 s    10 s    1 min and more
//	looked up again in    1 s    10 s    30 s
func portRetryDelay(ingress *networkingv1.Ingress, now time.Time) time.Duration {
	return min(max(now.Sub(ingress.CreationTimestamp.Time), time.Second), maxRetryDelay)
}
