package ingressgen

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

const annotationProtocol = nginx + "backend-protocol"

// The values of backend-protocol.
const (
	speaksHTTP  = "HTTP"
	speaksGRPC  = "GRPC"
	speaksGRPCS = "GRPCS"
)

// overHTTP2 tells whether the controller speaks gRPC to the old Service.
func overHTTP2(value string) bool {
	value = strings.ToUpper(strings.TrimSpace(value))
	return value == speaksGRPC || value == speaksGRPCS
}

// backendProtocol refuses values that do not fit the old_backend and the protocol of
// the service: the proxy must speak to the old Service as the controller did.
func backendProtocol(value string, s *migration.Service) string {
	switch value = strings.ToUpper(strings.TrimSpace(value)); {
	case overHTTP2(value) && !s.GRPC():
		return fmt.Sprintf("the old Service speaks gRPC; write protocol: grpc in service %s", s.Name)
	case s.GRPC() && !overHTTP2(value):
		return fmt.Sprintf("service %s has protocol grpc, which the proxy takes by HTTP/2 only; write %s here, or leave protocol out there", s.Name, speaksGRPC)
	case value == speaksGRPC || value == "AUTO_HTTP":
		return ""
	case value == "HTTPS" || value == speaksGRPCS:
		if s.OldBackend.Scheme == migration.HTTPS {
			return ""
		}
		return fmt.Sprintf("the old Service speaks %s, and the proxy would not use TLS to it; write old_backend: https://%s in service %s",
			value, s.OldBackend.HostPort(), s.Name)
	}
	return "the proxy speaks HTTP or gRPC to backends, with TLS or without"
}

// protocolOfHop is the value that backend-protocol has while paths are rewritten, in
// place of a user's: the proxy takes no TLS.
func protocolOfHop(value string) string {
	if overHTTP2(value) {
		return speaksGRPC
	}
	return speaksHTTP
}

// checkProtocols finds the services whose gRPC would not reach the proxy as such, or
// another service's HTTP would.
func (r *rewriter) checkProtocols() {
	for _, s := range r.services {
		if !r.hasPaths(s, migration.ModeProxy) {
			continue
		}
		problem := cmp.Or(r.unsaidProtocol(s), r.foreignProtocol(s), r.unnamedProxy(s), r.unlikeService(s), r.mixedProtocols(s))
		if problem == "" {
			continue
		}
		r.bypass(s, "%s", problem)
		r.warnOnce("the Ingress is not rewritten: %s", problem)
	}
}

// unsaidProtocol: without the annotation, ingress-nginx speaks HTTP/1.1. Other
// controllers read the annotations of the proxy Service.
func (r *rewriter) unsaidProtocol(s *migration.Service) string {
	if !s.GRPC() || r.view.Controller != ControllerNginx || overHTTP2(r.userAnnotation(annotationProtocol)) {
		return ""
	}
	return fmt.Sprintf("service %s has protocol grpc, and ingress-nginx speaks gRPC to a Service only with annotation %s: %s; add it, or leave protocol out", s.Name, annotationProtocol, speaksGRPC)
}

// mixedProtocols: a proxy Service leads to one port of the proxy, and so to one
// protocol.
func (r *rewriter) mixedProtocols(s *migration.Service) string {
	services := r.view.Table.Services()
	for i := range services {
		other := &services[i]
		if other.GRPC() != s.GRPC() && other.OldBackend.HostPort() == s.OldBackend.HostPort() {
			return fmt.Sprintf("services %s and %s have the same old_backend %s, and one of them has protocol grpc; give the Service a port of its own for gRPC (it may have the same targetPort)",
				s.Name, other.Name, s.OldBackend.HostPort())
		}
	}
	return ""
}

// SpeaksGRPC tells whether the proxy Service of a user's backend leads to the port for
// gRPC: a path of the Ingress with this backend belongs to a service with protocol grpc.
func SpeaksGRPC(ingress *networkingv1.Ingress, old networkingv1.IngressServiceBackend, view View) bool {
	if view.Table == nil {
		return false
	}
	r := newRewriter(ingress, view)
	r.findOriginals()
	return slices.ContainsFunc(r.paths, func(p ingressPath) bool {
		if p.userBackend == nil || *p.userBackend != old {
			return false
		}
		s := r.coveringService(&p)
		return s != nil && s.GRPC()
	})
}

// The values of appProtocol for HTTP/2 without TLS, and for HTTP/1.1.
const (
	appProtocolH2C  = "kubernetes.io/h2c"
	appProtocolHTTP = "http"
)

// traefikScheme is what Traefik speaks to a Service.
const traefikScheme = "traefik.ingress.kubernetes.io/service.serversscheme"

// setHTTP makes a proxy Service say that it takes HTTP/1.1 without TLS. Some controllers
// guess from its port, which has the name and number that the user wrote: Traefik uses TLS
// to port 443 and to names that begin with https, Istio reads names such as grpc.
func setHTTP(service *corev1.Service) {
	port := &service.Spec.Ports[0]
	port.AppProtocol = new(appProtocolHTTP)
	if guessesTLS(*port) {
		addAnnotations(service, map[string]string{traefikScheme: "http"})
	}
}

// guessesTLS tells whether Traefik uses TLS to a port unless it is told otherwise.
func guessesTLS(port corev1.ServicePort) bool {
	return port.Port == 443 || strings.HasPrefix(port.Name, "https")
}

// addAnnotations says to controllers what the proxy takes. The old Service's own
// annotations about that are not copied, see hopAnnotations. The map that the Service had
// is not changed.
func addAnnotations(service *corev1.Service, hop map[string]string) {
	all := map[string]string{}
	maps.Copy(all, service.Annotations)
	maps.Copy(all, hop)
	service.Annotations = all
}

// SetGRPC makes a proxy Service lead to the port for gRPC, and says so in the way that
// each controller reads. ingress-nginx reads the annotation of the Ingress.
func SetGRPC(service *corev1.Service) {
	port := &service.Spec.Ports[0]
	port.TargetPort, port.AppProtocol = intstr.FromInt32(names.GRPCPort), new(appProtocolH2C)
	addAnnotations(service, map[string]string{
		traefikScheme: "h2c",
		"haproxy-ingress.github.io/backend-protocol": "h2",
		"haproxy.org/server-proto":                   "h2",
		"projectcontour.io/upstream-protocol.h2c":    strconv.Itoa(int(port.Port)),
		"konghq.com/protocol":                        "grpc",
	})
}
