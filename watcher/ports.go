package watcher

import (
	"context"
	"fmt"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
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

func (p *ports) number(service, name string) (int32, bool) {
	ctx, cancel := within(p.ctx)
	defer cancel()
	found, err := p.client.CoreV1().Services(p.namespace).Get(ctx, service, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		p.err = fmt.Errorf("look up port %s of Service %s/%s: %w", name, p.namespace, service, err)
		return 0, false
	}
	if err == nil {
		for _, port := range found.Spec.Ports {
			if port.Name == name {
				return port.Port, true
			}
		}
	}
	p.unknown = true
	return 0, false
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
