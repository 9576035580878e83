package webhook

import (
	"context"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/cache"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

const (
	portsTimeout = time.Second     // for all that one Ingress asks
	portsTTL     = 5 * time.Second // a burst of applies asks once; what changes later the watcher repairs
	portsKept    = 1024            // Services
)

// ports looks up the numbers of Services' named ports: few Ingresses use them,
// so no Service is followed for them.
type ports struct {
	client typedcorev1.ServicesGetter
	log    *slog.Logger
	known  *cache.LRUExpireCache // types.NamespacedName to map[string]int32
}

func newPorts(client typedcorev1.ServicesGetter, log *slog.Logger) *ports {
	return &ports{client: client, log: log, known: cache.NewLRUExpireCache(portsKept)}
}

// of is ingressgen.View.Port for one request about an Ingress of the
// namespace. Its time begins to count with the first question.
func (p *ports) of(ctx context.Context, namespace string) func(service, name string) (int32, bool) {
	deadline := sync.OnceValue(func() time.Time { return time.Now().Add(portsTimeout) })
	return func(service, name string) (int32, bool) {
		key := types.NamespacedName{Namespace: namespace, Name: service}
		if known, ok := p.known.Get(key); ok {
			number, ok := known.(map[string]int32)[name]
			return number, ok
		}
		ctx, cancel := context.WithDeadline(ctx, deadline())
		defer cancel()
		number, ok := p.ask(ctx, key)[name]
		return number, ok
	}
}

// ask remembers also that there is no such Service, but no failure to ask.
func (p *ports) ask(ctx context.Context, key types.NamespacedName) map[string]int32 {
	service, err := p.client.Services(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		service = &corev1.Service{}
	case err != nil:
		p.log.Warn("A named port cannot be looked up now", "service", key.String(), "error", err)
		return nil
	}
	numbers := make(map[string]int32, len(service.Spec.Ports))
	for _, port := range service.Spec.Ports {
		numbers[port.Name] = port.Port
	}
	p.known.Add(key, numbers, portsTTL)
	return numbers
}
