package watcher

import (
	"context"
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// ports finds the numbers of named ports, in one namespace. It keeps the first
// error, because a port that cannot be known now is not one that is not there.
type ports struct {
	ctx       context.Context
	client    kubernetes.Interface
	namespace string
	unknown   bool // one that was asked for is not there
	err       error
}

// PortNumber implements ingressgen.PortLookup.
func (p *ports) PortNumber(service, name string) (int32, bool) {
	ctx, cancel := within(p.ctx)
	defer cancel()
	numbers, err := kube.ServicePorts(ctx, p.client.CoreV1(), p.namespace, service)
	if err != nil {
		p.err = fmt.Errorf("look up port %s: %w", name, err)
		return 0, false
	}
	number, ok := numbers[name]
	p.unknown = p.unknown || !ok
	return number, ok
}

// lookAgain is when to ask again for a port that is not there. Applications'
// Services are not followed, so nobody tells when it is: a folder of manifests
// may have the Ingress a moment before the Service.
//
//	age of the Ingress    0 s    10 s    1 min and more
//	looked at again in    1 s    10 s    30 s
func lookAgain(ingress *networkingv1.Ingress, now time.Time) time.Duration {
	return min(max(now.Sub(ingress.CreationTimestamp.Time), time.Second), longestRetry)
}
