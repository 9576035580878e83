package ingressgen

import (
	"reflect"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// NeighborLookup finds, for one Ingress, the other Ingresses that its controller
// may serve: those of another controller are left out, as are those that the
// migration proxy made.
type NeighborLookup interface {
	// UsersOf gives the Ingresses of the namespace whose UsedBackends have the
	// backend.
	UsersOf(networkingv1.IngressServiceBackend) []*networkingv1.Ingress
	// CanariesAt gives the Ingresses of all namespaces whose CanaryHosts have the
	// host.
	CanariesAt(host string) []*networkingv1.Ingress
	// LoosenersAt gives the Ingresses of all namespaces whose LoosenedHosts have
	// the host.
	LoosenersAt(host string) []*networkingv1.Ingress
	// IngressesAt gives the Ingresses of all namespaces whose HostsOf have the host.
	IngressesAt(host string) []*networkingv1.Ingress
}

// IsNeighbor tells whether other is to be found by the lookup for the Ingress.
// An Ingress without a class may be served by any controller.
func IsNeighbor(ingress, other *networkingv1.Ingress, classes []*networkingv1.IngressClass) bool {
	if IsLabeled(other) || other.Namespace == ingress.Namespace && other.Name == ingress.Name {
		return false
	}
	own, its := ControllerOf(ingress, classes), ControllerOf(other, classes)
	return own == "" || its == "" || own == its
}

// IsLabeled tells whether an object has the label of what the migration proxy makes.
// Users may write it too, so what is to be changed or deleted needs more: see
// IsCompanion, IsAnchor and IsGeneratedService.
func IsLabeled(object metav1.Object) bool {
	return object.GetLabels()[names.ManagedByLabel] == names.Manager
}

// IsCanary tells whether the Ingress says that it is a canary.
func IsCanary(ingress *networkingv1.Ingress) bool {
	return isTrueIn(ingress, nginx+"canary")
}

// isTrueIn reads an annotation as ingress-nginx reads a boolean.
func isTrueIn(ingress *networkingv1.Ingress, annotation string) bool {
	return strings.EqualFold(strings.TrimSpace(ingress.Annotations[annotation]), "true")
}

// UsedBackends are the Services and ports that the Ingress points at, and those
// that it points at when the migration proxy puts back what the user wrote.
// The port is as written: ingress-nginx takes 80 and http for two.
func UsedBackends(ingress *networkingv1.Ingress) []networkingv1.IngressServiceBackend {
	if IsLabeled(ingress) {
		return nil
	}
	var used []backend
	add := func(b *backend) {
		if b != nil && !isProxy(b) && !slices.Contains(used, *b) {
			used = append(used, *b)
		}
	}
	if ingress.Spec.DefaultBackend != nil {
		add(ingress.Spec.DefaultBackend.Service)
	}
	for _, p := range listPaths(ingress) {
		add(p.userBackend)
	}
	originals, _ := parseOriginals(ingress.Annotations[AnnotationOriginal]) // what can be read of it
	for i := range originals.Backends {
		add(&originals.Backends[i].Backend)
	}
	return used
}

// CanaryHosts are the hosts of the rules of an Ingress that a user made a canary.
func CanaryHosts(ingress *networkingv1.Ingress) []string {
	if IsLabeled(ingress) || !IsCanary(ingress) {
		return nil
	}
	return HostsOf(ingress)
}

// LoosenedHosts are the hosts of the rules of an Ingress with rewrite-target or
// use-regex: ingress-nginx then compares the paths of all Ingresses of these hosts as
// plain text without case.
func LoosenedHosts(ingress *networkingv1.Ingress) []string {
	if IsLabeled(ingress) || !loosens(ingress) {
		return nil
	}
	return HostsOf(ingress)
}

// HostsOf are the hosts of the rules, each once; "" is a rule for all hosts.
func HostsOf(ingress *networkingv1.Ingress) []string {
	var hosts []string
	for i := range ingress.Spec.Rules {
		if host := ingress.Spec.Rules[i].Host; !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// SameToNeighbors tells whether two versions of an Ingress have the same
// UsedBackends, LoosenedHosts, paths, class and, for a canary, rules: the lookup gives the
// same for any other Ingress. It does when the migration proxy rewrites an Ingress.
func SameToNeighbors(a, b *networkingv1.Ingress) bool {
	return slices.Equal(LoosenedHosts(a), LoosenedHosts(b)) && sameClass(a, b) &&
		slices.Equal(sortedBackends(a), sortedBackends(b)) && slices.Equal(pathKeys(a), pathKeys(b)) &&
		IsCanary(a) == IsCanary(b) && (!IsCanary(a) || reflect.DeepEqual(a.Spec.Rules, b.Spec.Rules)) && IsLabeled(a) == IsLabeled(b)
}

// sameClass tells whether both name the same class, or both none. It is stricter than
// IsNeighbor: one controller serves both.
func sameClass(a, b *networkingv1.Ingress) bool {
	return reflect.DeepEqual(a.Spec.IngressClassName, b.Spec.IngressClassName) && a.Annotations[ingressClass] == b.Annotations[ingressClass]
}

func pathKeys(ingress *networkingv1.Ingress) []pathKey {
	var all []pathKey
	for _, p := range listPaths(ingress) {
		all = append(all, p.key())
	}
	return all
}

func sortedBackends(ingress *networkingv1.Ingress) []string {
	var all []string
	for _, b := range UsedBackends(ingress) {
		all = append(all, formatBackend(b))
	}
	slices.Sort(all)
	return all
}

// TrimNeighbor removes from an Ingress everything that does not matter to other
// Ingresses. A cluster may have thousands.
func TrimNeighbor(ingress *networkingv1.Ingress) {
	trimmed := networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: ingress.Namespace, Name: ingress.Name, UID: ingress.UID, ResourceVersion: ingress.ResourceVersion,
	}}
	for _, name := range []string{ingressClass, nginx + "canary", annotationRewrite, annotationUseRegex} {
		if value, ok := ingress.Annotations[name]; ok {
			metav1.SetMetaDataAnnotation(&trimmed.ObjectMeta, name, value)
		}
	}
	trimmed.Spec = ingress.Spec
	trimmed.Spec.TLS = nil
	*ingress = trimmed
}

// firstName is the first of the Ingresses by name, with its namespace if that is
// another.
func firstName(ingresses []*networkingv1.Ingress, namespace string) string {
	var all []string
	for _, ingress := range ingresses {
		if ingress.Namespace == namespace {
			all = append(all, ingress.Name)
		} else {
			all = append(all, ingress.Namespace+"/"+ingress.Name)
		}
	}
	return slices.Min(all)
}
