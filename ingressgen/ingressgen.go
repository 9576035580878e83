package ingressgen

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Prefix is what our annotations and labels begin with.
const Prefix = names.Group + "/"

// The annotations that the user writes.
const (
	AnnotationEnabled = Prefix + "enabled" // "true" opts in
	AnnotationService = Prefix + "service" // optional: the one service that the paths belong to
	AnnotationMode    = Prefix + "mode"    // optional: proxy or canary, before the service's own
)

// The annotations that we write.
const (
	AnnotationOriginal = Prefix + "original" // JSON: every value we replaced, see record
	AnnotationShare    = Prefix + "share"    // "20", or "api=20,web=5" for several services
	AnnotationPhase    = Prefix + "phase"    // status.Phase
	AnnotationReason   = Prefix + "reason"   // why the phase is not Migrating
)

// written are the annotations that are ours alone.
var written = []string{AnnotationOriginal, AnnotationPhase, AnnotationReason, AnnotationShare}

// LabelConfig marks the migration ConfigMap, so that the webhook sees it.
const LabelConfig = Prefix + "config"

// View is what an Ingress is judged by.
type View struct {
	Table *migration.Table // nil: there is no valid config yet, nothing is rewritten
	State status.Cluster
	// CreatesService says that who asks makes Service migration-proxy before it
	// points an Ingress at it, as the watcher does. Others must not point at
	// one that is not there: for them State.Namespaces says where it is.
	CreatesService bool
	// Blocked is why what the Ingress would point at cannot be made: somebody
	// else has its name. "": nothing is in the way.
	Blocked string
	// Ports looks named ports up. Nil: no named port is known.
	Ports PortLookup
}

// PortLookup finds named ports of Services in the namespace of one Ingress.
type PortLookup interface {
	// PortNumber gives the number of a Service's named port. False: the Service
	// has no such port, or it cannot be looked up now.
	PortNumber(service, name string) (int32, bool)
}

// OptedIn tells whether the user asked for the Ingress to be migrated.
func OptedIn(ingress *networkingv1.Ingress) bool {
	return ingress.Annotations[AnnotationEnabled] == "true"
}

// Touched tells whether the Ingress carries anything of ours, an annotation
// or a backend, so that it has to be looked at even if it has not opted in
// (any more).
func Touched(ingress *networkingv1.Ingress) bool {
	for _, name := range written {
		if _, ok := ingress.Annotations[name]; ok {
			return true
		}
	}
	return ThroughProxy(ingress)
}

// ThroughProxy tells whether a path of the Ingress points at the proxy.
func ThroughProxy(ingress *networkingv1.Ingress) bool {
	for i := range ingress.Spec.Rules {
		for _, path := range pathsOf(&ingress.Spec.Rules[i]) {
			if isProxy(path.Backend.Service) {
				return true
			}
		}
	}
	return false
}

// pathsOf gives a rule's paths; a rule may have none.
func pathsOf(rule *networkingv1.IngressRule) []networkingv1.HTTPIngressPath {
	if rule.HTTP == nil {
		return nil
	}
	return rule.HTTP.Paths
}
