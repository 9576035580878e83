package watcher

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ours is what we made; nothing else is changed or deleted.
func ours(object metav1.Object) bool {
	return object.GetLabels()[names.ManagedByLabel] == names.Manager
}

func companionOf(key types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: key.Namespace, Name: ingressgen.CompanionName(key.Name)}
}

// mainOf is the Ingress that a companion belongs to, by its name.
func mainOf(companion types.NamespacedName) types.NamespacedName {
	return types.NamespacedName{Namespace: companion.Namespace, Name: ingressgen.CompanionOf(companion.Name)}
}

// changedMeanwhile: the object is not the one that the write was made for: a
// test of a JSON Patch failed (the API server calls that invalid), somebody
// wrote or created it first, or it is gone.
func changedMeanwhile(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}
