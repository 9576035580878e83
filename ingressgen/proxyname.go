package ingressgen

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// The name of a proxy Service is proxyPrefix, the name of the old Service, "-"
// and a hash of the user's backend. Together they have the length that a name of
// a Service may have.
const (
	proxyPrefix    = names.ProxyService + "-"
	maxServiceName = 63
	hashLength     = 8
	maxOldName     = maxServiceName - len(proxyPrefix) - 1 - hashLength // a longer one is cut
)

// proxyServiceName is the name of the proxy Service of a user's backend. Ingress
// controllers keep settings (affinity, hashing, a canary) by Service and port, so
// each Service and port that an Ingress names has a proxy Service of its own.
//
//	api:8080    migration-proxy-api-b97c3dad
//	api:http    migration-proxy-api-828a926f
func proxyServiceName(old backend) string {
	name := old.Name
	if len(name) > maxOldName {
		name = name[:maxOldName]
	}
	return proxyPrefix + name + "-" + hashBackend(old)
}

func hashBackend(b backend) string {
	sum := sha256.Sum256([]byte(b.Name + ":" + b.Port.Name + ":" + strconv.Itoa(int(b.Port.Number))))
	return hex.EncodeToString(sum[:])[:hashLength]
}

// proxied is the backend of a rewritten path: its port stays.
func proxied(old backend) backend {
	return backend{Name: proxyServiceName(old), Port: old.Port}
}

// isProxy tells whether the backend is a proxy Service, by the form of its name:
// also when somebody edited the port.
func isProxy(b *backend) bool {
	if b == nil {
		return false
	}
	_, ok := splitProxyName(b.Name)
	return ok || *b == sharedBackend
}

// splitProxyName gives the part of a proxy Service's name that is the name of the
// old Service, or its beginning.
func splitProxyName(name string) (old string, ok bool) {
	rest, ok := strings.CutPrefix(name, proxyPrefix)
	at := len(rest) - hashLength - 1
	if !ok || at < 1 || rest[at] != '-' || strings.Trim(rest[at+1:], "0123456789abcdef") != "" {
		return "", false
	}
	return rest[:at], true
}

// oldOfProxy computes the user's backend from that of a rewritten path. It is not
// known when the name of the old Service is cut.
func oldOfProxy(b backend) (old backend, ok bool) {
	name, ok := splitProxyName(b.Name)
	old = backend{Name: name, Port: b.Port}
	if !ok || !isRestorable(old) || len(name) == maxOldName && proxyServiceName(old) != b.Name {
		return backend{}, false
	}
	return old, true
}

// ProxyNeed gives the user's backend for which the Ingress needs the proxy Service
// of this name: it points at the Service, or it has opted in and may soon. False:
// it does not need it, or nothing says what the backend was.
func ProxyNeed(ingress *networkingv1.Ingress, service string) (old networkingv1.IngressServiceBackend, needed bool) {
	found := proxyNeeds(ingress)[service]
	if found == nil {
		return backend{}, false
	}
	return *found, true
}

// ProxiesOf are the names of the proxy Services that the Ingress points at, or may
// soon, sorted.
func ProxiesOf(ingress *networkingv1.Ingress) []string {
	return slices.Sorted(maps.Keys(proxyNeeds(ingress)))
}

// proxyNeeds are the users' backends by the names of their proxy Services; nil for
// one whose backend is lost.
func proxyNeeds(ingress *networkingv1.Ingress) map[string]*backend {
	r := newRewriter(ingress, View{})
	r.findOriginals()
	needs := map[string]*backend{}
	for i := range r.paths {
		p := &r.paths[i]
		current := ""
		if p.isRewritten() {
			current = p.spec.Backend.Service.Name
			if _, known := needs[current]; !known {
				needs[current] = nil
			}
		}
		if p.userBackend == nil {
			continue
		}
		if name := proxyServiceName(*p.userBackend); name == current || OptedIn(ingress) {
			needs[name] = p.userBackend
		}
	}
	return needs
}

// PointsAt tells whether a path of the Ingress points at the Service.
func PointsAt(ingress *networkingv1.Ingress, service string) bool {
	return slices.ContainsFunc(listPaths(ingress), func(p ingressPath) bool {
		return p.userBackend != nil && p.userBackend.Name == service
	})
}

// IsGeneratedService tells whether the migration proxy made the Service: it carries the
// label, and has the name of a proxy Service or of a companion's Service. A label alone
// can be a user's.
func IsGeneratedService(service metav1.Object) bool {
	name := service.GetName()
	_, proxy := splitProxyName(name)
	return IsLabeled(service) &&
		(proxy || name == sharedBackend.Name || strings.HasSuffix(name, companionSuffix))
}

// sharedBackend is the backend of paths that an older version rewrote: one proxy
// Service for all of a namespace.
var sharedBackend = backend{Name: names.ProxyService, Port: numberedPort(names.TrafficPort)}
