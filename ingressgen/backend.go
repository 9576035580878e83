package ingressgen

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

type backend = networkingv1.IngressServiceBackend

// proxyBackend is where rewritten paths point.
var proxyBackend = backend{Name: names.ProxyService, Port: networkingv1.ServiceBackendPort{Number: names.TrafficPort}}

func isProxy(b *backend) bool { return b != nil && *b == proxyBackend }

// inCluster gives the Service and namespace of a backend that is written as
// "NAME.NAMESPACE.svc", with or without a cluster domain behind.
func inCluster(b migration.Backend) (name, namespace string, ok bool) {
	labels := strings.SplitN(b.Host, ".", 4)
	if len(labels) < 3 || labels[2] != "svc" {
		return "", "", false
	}
	return labels[0], labels[1], true
}

// oldBackend is the service's old backend as an Ingress of the namespace
// writes it; false if it is no Service of that namespace.
func oldBackend(s *migration.Service, namespace string) (backend, bool) {
	name, in, ok := inCluster(s.OldBackend)
	if !ok || in != namespace {
		return backend{}, false
	}
	found := backend{Name: name, Port: networkingv1.ServiceBackendPort{Number: int32(s.OldBackend.Port)}}
	return found, found != proxyBackend
}

// restorable tells whether the API server would take the backend: a record
// that somebody edited must not make every later write of the Ingress fail.
func restorable(b backend) bool {
	byName := b.Port.Name != ""
	if byName == (b.Port.Number != 0) || b == proxyBackend || len(validation.IsDNS1035Label(b.Name)) > 0 {
		return false
	}
	if byName {
		return len(validation.IsValidPortName(b.Port.Name)) == 0
	}
	return len(validation.IsValidPortNum(int(b.Port.Number))) == 0
}

// show is the backend as messages write it: "api:8080", "api:http".
func show(b backend) string {
	if b.Port.Name != "" {
		return b.Name + ":" + b.Port.Name
	}
	return fmt.Sprintf("%s:%d", b.Name, b.Port.Number)
}
