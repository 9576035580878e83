package watcher

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// isOurs reports whether the migration proxy made the object. Nothing else is
// changed or deleted, except the Ingresses that opted in. For Services there is
// ingressgen.IsGeneratedService.
func isOurs(object metav1.Object) bool {
	return ingressgen.IsLabeled(object)
}

func companionOf(ingress types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: ingress.Namespace, Name: ingressgen.CompanionName(ingress.Name)}
}

// mainOf is the Ingress that a companion of that name belongs to.
func mainOf(companion types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: companion.Namespace, Name: ingressgen.CompanionOf(companion.Name)}
}
