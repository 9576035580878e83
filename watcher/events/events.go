package events

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
	ConfigAccepted       = "ConfigAccepted"
	ConfigRejected       = "ConfigRejected"
	ReplicaRejectsConfig = "ReplicaRejectsConfig"
	LastGoodNotKept      = "LastGoodNotKept"
	ShareDeviates        = "ShareDeviates"
	Changed              = "Changed" // also on an Ingress: somebody changed the config or the annotation

	RampAdvanced  = "RampAdvanced"
	RampReturned  = "RampReturned" // with the evidence
	RampWaiting   = "RampWaiting"  // for a person
	RampStateLost = "RampStateLost"
	// On an Ingress.
	Rewritten             = "Rewritten"
	Restored              = "Restored"
	FellBack              = "FellBack"
	Recovered             = "Recovered"
	Bypassed              = "Bypassed"
	NotRewritten          = "NotRewritten"          // with warnings, which may say why
	RewrittenWithWarnings = "RewrittenWithWarnings" // with what the user should know nevertheless
	WriteRefused          = "WriteRefused"
)

// Event is what an Event says.
type Event struct {
	Type   string // as corev1.EventTypeNormal
	Reason string // one of the reasons above
	Text   string
}

// Normal is an Event of type Normal.
func Normal(reason, text string) Event { return Event{corev1.EventTypeNormal, reason, text} }

// Warning is an Event of type Warning.
func Warning(reason, text string) Event { return Event{corev1.EventTypeWarning, reason, text} }

// Transition is what happened to an Ingress between two versions of it,
// by the watcher, by admission or by the command restore.
//
//	before        after         Event
//	nothing       Migrating     Rewritten
//	FallenBack    Migrating     Recovered (also from Bypassed)
//	any           FallenBack    FellBack, with the evidence
//	nothing       Bypassed      Bypassed, with the reason; type Normal
//	others        Bypassed      Bypassed, with the reason
//	any           nothing       Restored
func Transition(before, after *networkingv1.Ingress) (_ Event, ok bool) {
	if after == nil {
		return Event{}, false
	}
	from, to := PhaseOf(before), PhaseOf(after)
	if from == to {
		return Event{}, false
	}
	reason := after.Annotations[ingressgen.AnnotationReason]
	switch to {
	case status.FallenBack:
		return Warning(FellBack, "all traffic goes to old, past the migration proxy: "+reason), true
	case status.Bypassed:
		if from == "" { // it opted in before the proxy serves it, which is usual
			return Normal(Bypassed, "traffic does not go through the migration proxy yet: "+reason), true
		}
		return Warning(Bypassed, "traffic goes past the migration proxy: "+reason), true
	case "":
		return Normal(Restored, "the Ingress is as its user wrote it"), true
	}
	if from == "" {
		return Normal(Rewritten, "traffic goes through the migration proxy; share on new: "+after.Annotations[ingressgen.AnnotationShare]), true
	}
	return Normal(Recovered, "traffic goes through the migration proxy again, after "+string(from)), true
}

// PhaseOf is the phase that the Ingress shows. While the watcher prepares the
// Services of the proxy, which takes some seconds, it has none.
func PhaseOf(ingress *networkingv1.Ingress) status.Phase {
	if ingress == nil || strings.Contains(ingress.Annotations[ingressgen.AnnotationReason], ingressgen.ReasonWaiting) {
		return ""
	}
	return status.Phase(ingress.Annotations[ingressgen.AnnotationPhase])
}
