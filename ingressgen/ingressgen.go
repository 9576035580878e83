package ingressgen

import (
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Prefix begins the annotations and labels of the migration proxy.
const Prefix = names.Group + "/"

// The annotations that the user writes.
const (
	AnnotationEnabled = Prefix + "enabled" // "true" opts in
	AnnotationService = Prefix + "service" // optional: the one service that the paths belong to
	AnnotationMode    = Prefix + "mode"    // optional: proxy or canary; it overrides the mode of the service
)

// The annotations that the migration proxy writes.
const (
	AnnotationOriginal = Prefix + "original" // JSON: every replaced value, see originalValues
	AnnotationShare    = Prefix + "share"    // percent: "20", or "api=20,web=5" for several services
	AnnotationPhase    = Prefix + "phase"    // status.Phase
	AnnotationReason   = Prefix + "reason"   // why the phase is not Migrating
)

// managedAnnotations are the annotations that only the migration proxy writes.
var managedAnnotations = []string{AnnotationOriginal, AnnotationPhase, AnnotationReason, AnnotationShare}

// LabelConfig marks ConfigMaps that the webhook checks like the migration
// ConfigMap.
const LabelConfig = Prefix + "config"

// View is everything outside an Ingress that decides about it.
type View struct {
	Table *migration.Table // nil: there is no valid config yet, and nothing is rewritten
	State status.Cluster
	// Admission is set when the edits become a part of somebody's write of the
	// Ingress; nil for the watcher. See waitForWatcher.
	Admission *Admission
	// Blocked is the reason why the Ingress cannot be pointed at the proxy: the
	// name of a Service is taken, or the API server refuses the edits. "" if there
	// is none.
	Blocked string
	// Controller is the controller of the Ingress's class, see ControllerOf. ""
	// when there is no such class, and for admission, which reads no classes.
	Controller string
	// CanaryControllers know canary annotations as ControllerNginx does.
	CanaryControllers []string
	// Neighbors finds the Ingresses that may share a canary or a host. Nil, as in admission:
	// they and Controller are not known, and the watcher, which knows them, decides.
	Neighbors NeighborLookup
	// Ports looks named ports up. Nil: no named port is known.
	Ports PortLookup
}

// Admission is what Rewrite must know about the write of which its edits become a
// part.
type Admission struct {
	// Stored is the Ingress that the API server has; nil if it is a new one.
	Stored *networkingv1.Ingress
}

// PortLookup finds Services and their ports in the namespace of one Ingress.
type PortLookup interface {
	// PortNumber gives the number of a Service's named port. False: the Service
	// has no such port, or it cannot be looked up now.
	PortNumber(service, name string) (int32, bool)
	// ExternalPort gives the targetPort of a port of a Service of type ExternalName. 0:
	// there is none, or it cannot be looked up, as in admission.
	ExternalPort(service string, port int32) int32
	// Service gives a Service with its annotations for controllers, and its ports. Nil:
	// there is none, or it is not known, as in admission.
	Service(name string) *corev1.Service
}

// OptedIn tells whether the user wants the Ingress to be migrated.
func OptedIn(ingress *networkingv1.Ingress) bool {
	return ingress.Annotations[AnnotationEnabled] == "true"
}

// Touched tells whether the Ingress has an annotation or a backend of the
// migration proxy, so that it may need edits even if it has not opted in.
func Touched(ingress *networkingv1.Ingress) bool {
	return Recorded(ingress) || ThroughProxy(ingress)
}

// Recorded tells whether the Ingress has an annotation that only the migration proxy
// writes.
func Recorded(ingress *networkingv1.Ingress) bool {
	for _, name := range managedAnnotations {
		if _, ok := ingress.Annotations[name]; ok {
			return true
		}
	}
	return false
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
