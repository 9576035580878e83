package ingressgen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// spoken is what an annotation makes a controller speak to the backends of an Ingress.
type spoken int

const (
	spokenUnsaid spoken = iota
	spokenHTTP1
	spokenHTTP2
	spokenTLS
	spokenOther // FastCGI, or a head of the PROXY protocol
)

// foreignProtocols are the annotations of an Ingress with which other controllers than
// ingress-nginx are told what the old Service speaks. They are not adjusted.
var foreignProtocols = []struct {
	names   []string
	says    func(value string) spoken
	instead string // where else a user can say it
}{
	{names: []string{
		"haproxy-ingress.github.io/backend-protocol", "ingress.kubernetes.io/backend-protocol", // HAProxy Ingress
		"haproxy.org/server-proto", // HAProxy's own
	}, says: byName, instead: toTheService},
	{names: []string{
		"k8s.apisix.apache.org/upstream-scheme",        // APISIX
		"appgw.ingress.kubernetes.io/backend-protocol", // Azure's Application Gateway
	}, says: byName, instead: "the controller must use plain HTTP or HTTP/2 for this Ingress"},
	{names: []string{
		"haproxy-ingress.github.io/secure-backends", "ingress.kubernetes.io/secure-backends", "haproxy.org/server-ssl",
	}, says: tlsIfTrue, instead: toTheService},
	{names: []string{
		"haproxy-ingress.github.io/proxy-protocol", "ingress.kubernetes.io/proxy-protocol", "haproxy.org/send-proxy-protocol",
	}, says: func(value string) spoken {
		if value == "no" {
			return spokenUnsaid
		}
		return spokenOther
	}},
}

const toTheService = "move it to the old Service, where only the controller's way to the old Service needs it"

// byName reads the names of protocols. With an unknown one HAProxy Ingress speaks HTTP/1.1.
func byName(value string) spoken {
	switch value {
	case "h2", "h2c", "grpc":
		return spokenHTTP2
	case "h1-ssl", "https", "h2-ssl", "grpcs":
		return spokenTLS
	case "fcgi", "fcgi-ssl":
		return spokenOther
	}
	return spokenHTTP1
}

func tlsIfTrue(value string) spoken {
	if value == "true" {
		return spokenTLS
	}
	return spokenUnsaid
}

// foreignProtocol finds an annotation with which the controller would not speak to the proxy
// as it must.
func (r *rewriter) foreignProtocol(s *migration.Service) string {
	for _, kind := range foreignProtocols {
		for _, name := range kind.names {
			value := strings.ToLower(strings.TrimSpace(r.ingress.Annotations[name]))
			if value == "" {
				continue
			}
			if problem := unfit(kind.says(value), s, kind.instead); problem != "" {
				return fmt.Sprintf("annotation %s: %s makes the controller %s", name, value, problem)
			}
		}
	}
	return ""
}

func unfit(said spoken, s *migration.Service, instead string) string {
	switch {
	case said == spokenTLS:
		return "use TLS to the proxy, which takes none; " + instead
	case said == spokenOther:
		return "speak to the proxy in a way that it does not take, and it would not speak to old in that way either; such an Ingress cannot be migrated"
	case said == spokenHTTP2 && !s.GRPC():
		return fmt.Sprintf("speak HTTP/2, and service %s takes HTTP/1.1; write protocol: grpc there", s.Name)
	case said == spokenHTTP1 && s.GRPC():
		return fmt.Sprintf("speak HTTP/1.1, and service %s has protocol grpc; write h2 here, or leave protocol out there", s.Name)
	}
	return ""
}

// controllerF5 is the controller of F5, whose annotations name Services.
const (
	controllerF5   = "nginx.org/ingress-controller"
	annotationGRPC = "nginx.org/grpc-services"
)

// namingAnnotations hold for the Services that they name: as NAME,NAME or as
// serviceName=NAME ...;serviceName=NAME ...
var namingAnnotations = []string{
	annotationGRPC, "nginx.org/websocket-services", "nginx.org/rewrites",
	"nginx.com/sticky-cookie-services", "nginx.org/sticky-cookie-services",
}

// unnamedProxy: such an annotation does nothing for a rewritten path, unless it names the
// proxy Service too.
func (r *rewriter) unnamedProxy(s *migration.Service) string {
	for p := range r.pathsOf(s, migration.ModeProxy) {
		old, proxy := p.userBackend.Name, proxyServiceName(*p.userBackend)
		for _, name := range namingAnnotations {
			if named := servicesNamed(r.ingress.Annotations[name]); slices.Contains(named, old) && !slices.Contains(named, proxy) {
				return fmt.Sprintf("annotation %s holds for the Services that it names, and while the Ingress is rewritten its paths lead to Service %s; name that one there besides %s",
					name, proxy, old)
			}
		}
		if problem := r.unlikeF5(s, old); problem != "" {
			return problem
		}
	}
	return ""
}

// unlikeF5: F5's controller speaks gRPC to the Services that the annotation names, and
// HTTP/1.1 to all others.
func (r *rewriter) unlikeF5(s *migration.Service, old string) string {
	switch named := slices.Contains(servicesNamed(r.ingress.Annotations[annotationGRPC]), old); {
	case named && !s.GRPC():
		return fmt.Sprintf("annotation %s says that Service %s speaks gRPC; write protocol: grpc in service %s", annotationGRPC, old, s.Name)
	case !named && s.GRPC() && r.view.Controller == controllerF5:
		return fmt.Sprintf("service %s has protocol grpc, and the controller speaks gRPC only to Services that annotation %s names; name %s there, or leave protocol out",
			s.Name, annotationGRPC, old)
	}
	return ""
}

func servicesNamed(value string) []string {
	names := strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ';' || c == ' ' })
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "serviceName=")
	}
	return names
}
