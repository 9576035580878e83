package objects

import (
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// IsOurs reports whether the migration proxy made the object. Nothing else is
// changed or deleted, except the Ingresses that opted in. For Services there is
// ingressgen.IsGeneratedService.
func IsOurs(object metav1.Object) bool {
	return ingressgen.IsLabeled(object)
}

// CompanionOf is the name that the companion of an Ingress has.
func CompanionOf(ingress types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: ingress.Namespace, Name: ingressgen.CompanionName(ingress.Name)}
}

// MainOf is the Ingress that a companion of that name belongs to.
func MainOf(companion types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: companion.Namespace, Name: ingressgen.CompanionOf(companion.Name)}
}

// CompanionService is the Service that all of a companion points at; "" if it
// points at none.
func CompanionService(companion *networkingv1.Ingress) string {
	for _, rule := range companion.Spec.Rules {
		if rule.HTTP != nil && len(rule.HTTP.Paths) > 0 && rule.HTTP.Paths[0].Backend.Service != nil {
			return rule.HTTP.Paths[0].Backend.Service.Name
		}
	}
	return ""
}
