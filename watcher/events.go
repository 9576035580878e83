package watcher

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// The reasons of the watcher's Events.
const (
	// On the ConfigMap.
	EventAccepted    = "ConfigAccepted"
	EventRejected    = "ConfigRejected"
	EventReplica     = "ReplicaRejectsConfig"
	EventStateTooBig = "LastGoodNotKept"
	EventDeviates    = "ShareDeviates"

	EventRampAdvanced = "RampAdvanced"
	EventRampReturned = "RampReturned" // with the evidence
	EventRampWaiting  = "RampWaiting"  // for a person
	EventRampLost     = "RampStateLost"
	// On an Ingress.
	EventRewritten    = "Rewritten"
	EventRestored     = "Restored"
	EventFellBack     = "FellBack"
	EventRecovered    = "Recovered"
	EventBypassed     = "Bypassed"
	EventNotRewritten = "NotRewritten"          // with warnings, which may say why
	EventWarnings     = "RewrittenWithWarnings" // with what the user should know nevertheless
	EventRefused      = "WriteRefused"
)

// event is what an Event says: type Normal or Warning, the reason and the text.
type event struct{ eventType, reason, text string }

// transitionEvent is what happened to an Ingress between two versions of it,
// by the watcher, by admission or by the command restore.
//
//	before        after         Event
//	nothing       Migrating     Rewritten
//	FallenBack    Migrating     Recovered (also from Bypassed)
//	any           FallenBack    FellBack, with the evidence
//	nothing       Bypassed      Bypassed, with the reason; type Normal
//	others        Bypassed      Bypassed, with the reason
//	any           nothing       Restored
func transitionEvent(before, after *networkingv1.Ingress) (_ event, ok bool) {
	if after == nil {
		return event{}, false
	}
	from, to := phaseOf(before), phaseOf(after)
	if from == to {
		return event{}, false
	}
	reason := after.Annotations[ingressgen.AnnotationReason]
	switch to {
	case status.FallenBack:
		return event{corev1.EventTypeWarning, EventFellBack, "all traffic goes to old, past the migration proxy: " + reason}, true
	case status.Bypassed:
		if from == "" { // it opted in before the proxy serves it, which is usual
			return event{corev1.EventTypeNormal, EventBypassed, "traffic does not go through the migration proxy yet: " + reason}, true
		}
		return event{corev1.EventTypeWarning, EventBypassed, "traffic goes past the migration proxy: " + reason}, true
	case "":
		return event{corev1.EventTypeNormal, EventRestored, "the Ingress is as its user wrote it"}, true
	}
	if from == "" {
		return event{corev1.EventTypeNormal, EventRewritten, "traffic goes through the migration proxy; share on new: " + after.Annotations[ingressgen.AnnotationShare]}, true
	}
	return event{corev1.EventTypeNormal, EventRecovered, "traffic goes through the migration proxy again, after " + string(from)}, true
}

// phaseOf is the phase that the Ingress shows. While the watcher prepares the
// Services of the proxy, which takes some seconds, it has none.
func phaseOf(ingress *networkingv1.Ingress) status.Phase {
	if ingress == nil || strings.Contains(ingress.Annotations[ingressgen.AnnotationReason], ingressgen.ReasonWaiting) {
		return ""
	}
	return status.Phase(ingress.Annotations[ingressgen.AnnotationPhase])
}
