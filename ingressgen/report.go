package ingressgen

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Edit is one JSON Patch operation (RFC 6902) on the Ingress.
type Edit struct {
	Op    string `json:"op"`              // add, replace, remove or test
	Path  string `json:"path"`            // RFC 6901
	Value any    `json:"value,omitempty"` // string or int32; null in a test means absent
}

// Report is how one Ingress must change, and why.
type Report struct {
	// Edits must be applied in this order, all or none. There are none when the
	// Ingress needs no change.
	Edits []Edit
	// Companion is the desired Ingress NAME-migration (mode canary); nil when there
	// must be none.
	Companion *networkingv1.Ingress
	// Services are the services that paths of the Ingress belong to, sorted.
	Services []migration.Name
	// Phase is Migrating, FallenBack or Bypassed: the worst of the services'.
	// "" when the Ingress has not opted in. Annotation phase may be missing all the
	// same: see silentChecks.
	Phase    status.Phase
	Reason   string   // why the phase is not Migrating, "" if it is
	Warnings []string // for the user: each names the place and the way out
	// Proxies are the proxy Services that the Ingress needs, sorted by name. It
	// keeps them while its services are FallenBack, so that the way to the proxy
	// stays prepared. The Companion has a Service of its own, CompanionService.
	Proxies []ProxyUse
}

// ProxyUse is a proxy Service that an Ingress needs.
type ProxyUse struct {
	Service string                             // its name
	Old     networkingv1.IngressServiceBackend // what the user wrote: it takes the place of this
	// Switch says that the edits point a path at the Service that does not point
	// at it yet: the Service must exist, and be known to the ingress controller,
	// before the edits are applied.
	Switch bool
}
