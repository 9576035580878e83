package ingressgen

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/migration-proxy/migration-proxy/migration"
)

type backend = networkingv1.IngressServiceBackend

func numberedPort(number int32) networkingv1.ServiceBackendPort {
	return networkingv1.ServiceBackendPort{Number: number}
}

// splitServiceHost gives the Service and the namespace of a backend whose host
// is "NAME.NAMESPACE.svc", with or without a cluster domain.
func splitServiceHost(b migration.Backend) (name, namespace string, ok bool) {
	labels := strings.SplitN(b.Host, ".", 4)
	if len(labels) < 3 || labels[2] != "svc" {
		return "", "", false
	}
	return labels[0], labels[1], true
}

// oldBackend is the service's old_backend in the form of an Ingress of the
// namespace; false if it is no Service of that namespace.
func oldBackend(s *migration.Service, namespace string) (backend, bool) {
	name, in, ok := splitServiceHost(s.OldBackend)
	if !ok || in != namespace {
		return backend{}, false
	}
	old := backend{Name: name, Port: numberedPort(int32(s.OldBackend.Port))}
	return old, !isProxy(&old)
}

// isRestorable tells whether the API server would take the backend. Somebody may
// have edited annotation original, and that must not make every later write of
// the Ingress fail. Names may begin with a digit: Kubernetes 1.34 allows it
// (feature RelaxedServiceNameValidation).
func isRestorable(b backend) bool {
	byName := b.Port.Name != ""
	if byName == (b.Port.Number != 0) || isProxy(&b) || len(validation.IsDNS1123Label(b.Name)) > 0 {
		return false
	}
	if byName {
		return len(validation.IsValidPortName(b.Port.Name)) == 0
	}
	return len(validation.IsValidPortNum(int(b.Port.Number))) == 0
}

// formatBackend writes a backend for messages: "api:8080", "api:http".
func formatBackend(b backend) string {
	if b.Port.Name != "" {
		return b.Name + ":" + b.Port.Name
	}
	return fmt.Sprintf("%s:%d", b.Name, b.Port.Number)
}
