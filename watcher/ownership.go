package watcher

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// isOurs reports whether the migration proxy made the object. Nothing else is
// changed or deleted, except the Ingresses that opted in. For Services there is
// ingressgen.IsGeneratedService.
func isOurs(object metav1.Object) bool {
	return ingressgen.IsLabeled(object)
}

// foreignError says that an object that somebody else made has the name of an
// object that the migration proxy must make.
type foreignError struct{ kind, namespace, name string }

// Error names the object, and says what to do.
func (e *foreignError) Error() string {
	return fmt.Sprintf("%s %s/%s exists and is not the migration proxy's (it lacks label %s=%s): it is left alone, "+
		"and the Ingress stays as it is; rename it", e.kind, e.namespace, e.name, names.ManagedByLabel, names.Manager)
}

func companionOf(ingress types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: ingress.Namespace, Name: ingressgen.CompanionName(ingress.Name)}
}

// mainOf is the Ingress that a companion of that name belongs to.
func mainOf(companion types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: companion.Namespace, Name: ingressgen.CompanionOf(companion.Name)}
}
