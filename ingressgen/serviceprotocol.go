package ingressgen

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// servicePort is a port of an old Service as an Ingress names it.
type servicePort struct {
	service *corev1.Service
	named   networkingv1.ServiceBackendPort
}

// own is the port in the Service; an empty one if it is not known.
func (p servicePort) own() corev1.ServicePort {
	for _, port := range p.service.Spec.Ports {
		if p.named.Name != "" && port.Name == p.named.Name || p.named.Number != 0 && port.Port == p.named.Number {
			return port
		}
	}
	return corev1.ServicePort{Name: p.named.Name, Port: p.named.Number}
}

// waysOfServices are the ways in which an old Service tells a controller what it speaks, by
// the beginning of the controller's name. The first that says something counts.
var waysOfServices = []struct {
	controller, name string
	says             func(name string, p servicePort) spoken
}{
	{"haproxy-ingress.github.io/", "haproxy-ingress.github.io/backend-protocol", byAnnotation},
	{"haproxy-ingress.github.io/", "ingress.kubernetes.io/backend-protocol", byAnnotation},
	{"haproxy.org/", "haproxy.org/server-proto", byAnnotation},
	{"haproxy.org/", "haproxy.org/server-ssl", byTrue},
	{"traefik.io/", traefikScheme, byAnnotation},
	{"traefik.io/", "the port", byTraefiksGuess},
	{"ingress-controllers.konghq.com/", "konghq.com/protocol", byAnnotation},
	{"projectcontour.io/", "projectcontour.io/upstream-protocol.h2c", listing(spokenHTTP2)},
	{"projectcontour.io/", "projectcontour.io/upstream-protocol.h2", listing(spokenTLS)},
	{"projectcontour.io/", "projectcontour.io/upstream-protocol.tls", listing(spokenTLS)},
	{"projectcontour.io/", "appProtocol", byAppProtocol},
	{"istio.io/", "appProtocol", byAppProtocol},
}

func byAnnotation(name string, p servicePort) spoken {
	if value := strings.ToLower(strings.TrimSpace(p.service.Annotations[name])); value != "" {
		return byName(value)
	}
	return spokenUnsaid
}

func byTrue(name string, p servicePort) spoken { return tlsIfTrue(p.service.Annotations[name]) }

func byTraefiksGuess(_ string, p servicePort) spoken {
	if port := p.own(); guessesTLS(port) {
		return spokenTLS
	}
	return spokenUnsaid
}

// listing reads Contour's annotations: names and numbers of ports.
func listing(said spoken) func(string, servicePort) spoken {
	return func(name string, p servicePort) spoken {
		port := p.own()
		for listed := range strings.SplitSeq(p.service.Annotations[name], ",") {
			if listed = strings.TrimSpace(listed); listed != "" && (listed == port.Name || listed == strconv.Itoa(int(port.Port))) {
				return said
			}
		}
		return spokenUnsaid
	}
}

func byAppProtocol(_ string, p servicePort) spoken {
	said := p.own().AppProtocol
	switch {
	case said == nil:
		return spokenUnsaid
	case slices.Contains([]string{appProtocolH2C, "grpc", "http2"}, *said):
		return spokenHTTP2
	case slices.Contains([]string{"https", "tls"}, *said):
		return spokenTLS
	}
	return spokenUnsaid
}

// unlikeService finds an old Service that says, in a way of the Ingress's controller, that
// it speaks otherwise than the proxy would speak to it.
func (r *rewriter) unlikeService(s *migration.Service) string {
	if r.view.Ports == nil || !r.comparesBackends(s) {
		return "" // the old_backend may be another port of the same application
	}
	for p := range r.pathsOf(s, migration.ModeProxy) {
		service := r.view.Ports.Service(p.userBackend.Name)
		if service == nil {
			continue
		}
		if problem := contradiction(r.view.Controller, servicePort{service, p.userBackend.Port}, s); problem != "" {
			return problem
		}
	}
	return ""
}

func contradiction(controller string, p servicePort, s *migration.Service) string {
	for _, way := range waysOfServices {
		if !strings.HasPrefix(controller, way.controller) {
			continue
		}
		switch said := way.says(way.name, p); {
		case said == spokenUnsaid:
			continue
		case said == spokenHTTP2 && !s.GRPC():
			return fmt.Sprintf("%s of Service %s says that it speaks HTTP/2; write protocol: grpc in service %s", way.name, p.service.Name, s.Name)
		case said == spokenTLS && s.OldBackend.Scheme != migration.HTTPS:
			return fmt.Sprintf("%s of Service %s makes the controller use TLS to it, and the proxy would not; write old_backend: https://%s in service %s",
				way.name, p.service.Name, s.OldBackend.HostPort(), s.Name)
		}
		return ""
	}
	return ""
}
