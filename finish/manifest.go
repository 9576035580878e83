package finish

import (
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Kind is a manifest for the new cluster.
type Kind string

// The kinds.
const (
	KindHTTPRoute   Kind = "httproute"
	KindIngress     Kind = "ingress"
	KindCertificate Kind = "certificate"
	KindDNSEndpoint Kind = "dnsendpoint"
)

// Placeholder stands for a name that only the user knows. The API server refuses an Ingress
// with it, and an HTTPRoute without the port of a Service; a Certificate waits for an issuer
// of this name.
const Placeholder = "CHANGE-ME"

// Target is what the new cluster has. What is empty becomes Placeholder.
type Target struct {
	Namespace string   // of the objects
	Gateway   ObjectID // of the HTTPRoute
	Section   string   // the listener of the Gateway; "" is any
	Backend   string   // the Service
	Port      int32    // its port
	Class     string   // of the Ingress
	Issuer    string   // a ClusterIssuer of cert-manager that uses DNS-01
	Address   string   // what old_host will lead to; "" is new_backend
}

// ObjectID names an object in a namespace.
type ObjectID struct{ Namespace, Name string }

// Manifest is an object with what it does not say.
type Manifest struct {
	Object any
	// Unsaid is what a person must look at: annotations that have no counterpart, and
	// placeholders.
	Unsaid []string
}

// NewManifest makes a manifest for the service. The Ingresses of its host, as their users wrote them,
// tell paths and annotations; without any there is one path.
func NewManifest(kind Kind, s *migration.Service, ingresses []*networkingv1.Ingress, target Target) Manifest {
	m := &maker{service: s, target: target, paths: pathsOf(s, ingresses), annotations: annotationsOf(s, ingresses)}
	switch kind {
	case KindIngress:
		m.ingress()
	case KindCertificate:
		m.certificate()
	case KindDNSEndpoint:
		m.dnsEndpoint()
	default:
		m.httpRoute()
	}
	return Manifest{Object: m.object, Unsaid: m.unsaid}
}

// maker makes one manifest.
type maker struct {
	service     *migration.Service
	target      Target
	paths       []networkingv1.HTTPIngressPath
	annotations map[string]string // of the user's Ingresses
	object      any
	unsaid      []string
}

func (m *maker) leaves(format string, args ...any) {
	m.unsaid = append(m.unsaid, fmt.Sprintf(format, args...))
}

// known is the value, or Placeholder and a line about it.
func (m *maker) known(value, flag, what string) string {
	if value == "" {
		m.leaves("replace %s by %s, or give %s", Placeholder, what, flag)
		return Placeholder
	}
	return value
}

func (m *maker) meta() metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: objectName(m.service.Name), Namespace: m.target.Namespace}
}

// hosts are the host of old, and that of new, which stays for those who already use it.
func (m *maker) hosts() []string {
	hosts := []string{string(m.service.OldHost)}
	if m.service.NewHost != m.service.OldHost {
		hosts = append(hosts, string(m.service.NewHost))
	}
	return hosts
}

// secretName is the Secret with the certificate.
func (m *maker) secretName() string { return objectName(m.service.Name) + "-tls" }

// objectName is a name that Kubernetes takes: names of services may have capitals, dots and
// underscores.
func objectName(name migration.Name) string {
	return strings.Trim(strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(string(name))), "-")
}

// pathsOf are the paths that the user's Ingresses have for the service.
func pathsOf(s *migration.Service, ingresses []*networkingv1.Ingress) []networkingv1.HTTPIngressPath {
	var paths []networkingv1.HTTPIngressPath
	for _, ingress := range ingresses {
		for _, rule := range ingress.Spec.Rules {
			if !strings.EqualFold(rule.Host, string(s.OldHost)) || rule.HTTP == nil {
				continue
			}
			for _, path := range rule.HTTP.Paths {
				same := func(known networkingv1.HTTPIngressPath) bool { return known.Path == path.Path }
				if covers(s.PathPrefix, path.Path) && !slices.ContainsFunc(paths, same) {
					paths = append(paths, path)
				}
			}
		}
	}
	if len(paths) == 0 {
		prefix := networkingv1.PathTypePrefix
		paths = append(paths, networkingv1.HTTPIngressPath{Path: string(s.PathPrefix), PathType: &prefix})
	}
	return paths
}

func covers(prefix migration.PathPrefix, path string) bool {
	root := strings.TrimSuffix(string(prefix), "/")
	return path == root || strings.HasPrefix(path+"/", root+"/")
}

// annotationsOf are those of the user's Ingresses that are for a controller.
func annotationsOf(s *migration.Service, ingresses []*networkingv1.Ingress) map[string]string {
	found := map[string]string{}
	for _, ingress := range ingresses {
		ofHost := func(rule networkingv1.IngressRule) bool { return strings.EqualFold(rule.Host, string(s.OldHost)) }
		if !slices.ContainsFunc(ingress.Spec.Rules, ofHost) {
			continue
		}
		for name, value := range ingress.Annotations {
			if isOfController(name) {
				found[name] = value
			}
		}
	}
	return found
}

func isOfController(name string) bool {
	for _, prefix := range []string{"migration-proxy.io/", "kubectl.kubernetes.io/", "meta.helm.sh/", "argocd.argoproj.io/", "cert-manager.io/", "acme.cert-manager.io/", "external-dns.alpha.kubernetes.io/"} {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return strings.Contains(name, "ingress") || strings.HasPrefix(name, "haproxy") || strings.HasPrefix(name, "traefik") || strings.HasPrefix(name, "konghq.com/")
}
