package ingressgen

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// anchorDomain ends the hosts of anchors. RFC 2606 reserves .invalid, so that no
// client asks for it.
const anchorDomain = ".migration-proxy.invalid"

// Anchor is an Ingress that names a user's backend and its proxy Service, as long
// as the proxy Service exists. ingress-nginx tells its balancer which backends
// there are some time before or after its workers use them, and answers 503 in
// between, but only for a backend that no other rule names. So the anchor makes
// a switch between the two lossless. It is for Ingresses of one class.
//
// Nobody can reach the old Service through it, past what its own Ingress demands:
// the host and both paths are like no other, they match exactly, and the
// controller denies all addresses. The admission webhook of ingress-nginx refuses a
// host and path that another Ingress has, also one of another class, so the paths
// have a hash of the class.
func Anchor(namespace string, old networkingv1.IngressServiceBackend, class ClassName) *networkingv1.Ingress {
	service := proxyServiceName(old)
	to := proxied(old)
	path := "/" + service + "/" + hashClass(class)
	rule := networkingv1.IngressRule{Host: namespace + anchorDomain}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{
		anchorPath(path+"/old", &old), anchorPath(path+"/proxy", &to),
	}}
	anchor := &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Name: anchorName(service, class), Namespace: namespace,
			Labels:      map[string]string{names.ManagedByLabel: names.Manager},
			Annotations: map[string]string{nginx + "denylist-source-range": "0.0.0.0/0,::/0"},
		},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
	}
	class.set(anchor)
	return anchor
}

func anchorPath(path string, to *backend) networkingv1.HTTPIngressPath {
	anchored := networkingv1.HTTPIngressPath{Path: path, PathType: new(networkingv1.PathTypeExact)}
	anchored.Backend.Service = to
	return anchored
}

// anchorName has the name of the class, because Ingresses of several classes may
// share an old Service.
func anchorName(service string, class ClassName) string {
	if class.Name == "" {
		return service
	}
	if name := service + "-" + class.Name; len(name) <= maxNameLength {
		return name
	}
	return service + "-" + hashClass(class)
}

func hashClass(class ClassName) string { return hashBackend(backend{Name: class.Name}) }

// IsAnchor tells whether the Ingress is one that the watcher made as an anchor.
func IsAnchor(ingress *networkingv1.Ingress) bool {
	return IsLabeled(ingress) && len(ingress.Spec.Rules) > 0 &&
		!slices.ContainsFunc(ingress.Spec.Rules, func(rule networkingv1.IngressRule) bool {
			return !strings.HasSuffix(rule.Host, anchorDomain)
		})
}

// AnchoredService is the name of the proxy Service that an anchor is for, or "".
func AnchoredService(anchor *networkingv1.Ingress) string {
	for _, p := range listPaths(anchor) {
		if p.isRewritten() {
			return p.spec.Backend.Service.Name
		}
	}
	return ""
}
