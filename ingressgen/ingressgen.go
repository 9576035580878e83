package ingressgen

import (
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/status"
)

// Prefix is what our annotations and labels begin with.
const Prefix = "migration-proxy.io/"

// The annotations that the user writes.
const (
	AnnotationEnabled = Prefix + "enabled" // "true" opts in
	AnnotationService = Prefix + "service" // optional: the one service that the paths belong to
	AnnotationMode    = Prefix + "mode"    // optional: proxy or canary, before the service's own
)

// The annotations that we write.
const (
	AnnotationOriginal = Prefix + "original" // JSON: every value we replaced
	AnnotationShare    = Prefix + "share"    // "20", or "api=20,web=5" for several services
	AnnotationPhase    = Prefix + "phase"    // status.Phase
	AnnotationReason   = Prefix + "reason"   // why the phase is not Migrating
)

// LabelConfig marks the migration ConfigMap, so that the webhook sees it.
const LabelConfig = Prefix + "config"

// View is what an Ingress is judged by.
type View struct {
	Table *migration.Table // nil: there is no valid config yet, nothing is rewritten
	State status.Cluster
	// Port gives the number of a Service's named port, in the Ingress's
	// namespace; false if there is none (or it cannot be known now).
	Port func(service, name string) (int32, bool)
}
