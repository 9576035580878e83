package ingressgen

import (
	"slices"
	"strings"
)

// copiedPrefixes begin the annotations that ingress controllers read from a
// Service: Traefik, HAProxy Ingress, HAProxy's own controller, Contour and Kong.
// Others, such as those of load balancers, Prometheus and deploy tools, would
// make a second one of what they are for.
var copiedPrefixes = []string{
	"traefik.ingress.kubernetes.io/", "haproxy-ingress.github.io/", "ingress.kubernetes.io/",
	"haproxy.org/", "projectcontour.io/", "konghq.com/",
}

// hopAnnotations say how a controller connects to the old Service. They are not
// copied: the proxy takes plain HTTP from the controller, or what SetGRPC says, and
// connects to the old Service as the migration config says.
var hopAnnotations = []string{
	"service.serversscheme", "service.serverstransport", // Traefik
	"backend-protocol", "proxy-protocol", "secure-backends", "secure-crt-secret", // HAProxy Ingress
	"secure-sni", "secure-verify-ca-secret", "secure-verify-hostname",
	"server-ssl", "server-ca", "server-crt", "server-proto", "send-proxy-protocol", // HAProxy's own
	"upstream-protocol.h2", "upstream-protocol.h2c", "upstream-protocol.tls", // Contour
	"protocol", "client-cert", "ca-certificates", "tls-verify", // Kong
}

// CopiedAnnotations are the annotations of an old Service that its proxy Service
// has as well: what a user has said about sessions, limits or balancing stays in
// force. It gives nil if there are none.
func CopiedAnnotations(old map[string]string) map[string]string { return selected(old, isCopied) }

// ControllerAnnotations are all those of a Service that ingress controllers read: also what
// it says about its protocol. It gives nil if there are none.
func ControllerAnnotations(all map[string]string) map[string]string {
	return selected(all, IsOfController)
}

func selected(all map[string]string, wanted func(name string) bool) map[string]string {
	var found map[string]string
	for name, value := range all {
		if !wanted(name) {
			continue
		}
		if found == nil {
			found = map[string]string{}
		}
		found[name] = value
	}
	return found
}

// IsOfController tells whether an annotation of a proxy Service is for an ingress
// controller: the proxy Service has those that its owner wants, and no others.
func IsOfController(name string) bool {
	return slices.ContainsFunc(copiedPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

func isCopied(name string) bool {
	for _, prefix := range copiedPrefixes {
		if short, ok := strings.CutPrefix(name, prefix); ok {
			return !slices.Contains(hopAnnotations, short)
		}
	}
	return false
}
