package ingressgen

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/status"
)

// Edit is one JSON Patch operation (RFC 6902) on the Ingress, as it is sent.
type Edit struct {
	Op    string `json:"op"`              // add, replace, remove or test
	Path  string `json:"path"`            // RFC 6901
	Value any    `json:"value,omitempty"` // what encoding/json takes; absent for remove
}

// Report is what must happen to one Ingress, and why.
type Report struct {
	// Edits lead from the Ingress as it is to what it must be; none when it
	// already is. They are to be applied in this order, all or none.
	Edits []Edit
	// Companion is what Ingress NAME-migration must be (mode canary); nil when
	// there must be none.
	Companion *networkingv1.Ingress
	// Services are those that paths of the Ingress belong to, sorted.
	Services []migration.Name
	// Phase is Migrating, FallenBack or Bypassed; "" when nothing is written
	// into the Ingress: not opted in, or nothing matches.
	Phase    status.Phase
	Reason   string   // why the phase is not Migrating
	Warnings []string // for the user, each a sentence that names the place
	// NeedsProxy tells that the Ingress or its Companion, once edited, points
	// at Service migration-proxy of the Ingress's namespace.
	NeedsProxy bool
}

// Rewrite computes what the Ingress must become under the view. It changes
// neither. Applied to what its own edits lead to, it gives no edits.
func Rewrite(ingress *networkingv1.Ingress, view View) Report {
	return Report{}
}

// Restore gives the edits that lead back to the Ingress as the user wrote it.
func Restore(ingress *networkingv1.Ingress) []Edit {
	return nil
}

// Guarded puts tests before the edits, so that a patch fails as a whole when
// the Ingress is no longer the one the edits were computed for: the rule's
// host and the path that an edit lies in, and the whole old value.
func Guarded(ingress *networkingv1.Ingress, edits []Edit) []Edit {
	return edits
}

// OptedIn tells whether the user asked for the Ingress to be migrated.
func OptedIn(ingress *networkingv1.Ingress) bool {
	return ingress.Annotations[AnnotationEnabled] == "true"
}

// Touched tells whether the Ingress carries anything of ours, so that it has
// to be looked at even if it has not opted in (any more).
func Touched(ingress *networkingv1.Ingress) bool {
	for _, name := range []string{AnnotationOriginal, AnnotationShare, AnnotationPhase, AnnotationReason} {
		if _, ok := ingress.Annotations[name]; ok {
			return true
		}
	}
	return false
}
