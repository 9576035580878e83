package ingressgen

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Edit is one JSON Patch operation (RFC 6902) on the Ingress, as it is sent.
type Edit struct {
	Op    string `json:"op"`              // add, replace, remove or test
	Path  string `json:"path"`            // RFC 6901
	Value any    `json:"value,omitempty"` // string or int32; a test may have null, which means absent
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
	// Phase is Migrating, FallenBack or Bypassed: the worst of the services'.
	// "" when the Ingress has not opted in. What the Ingress itself says may
	// be less: see quietRefusals.
	Phase    status.Phase
	Reason   string   // why the phase is not Migrating, "" if it is
	Warnings []string // for the user, each a sentence that names the place
	// Proxies are the Services of ours, by name and sorted, that the Ingress
	// and its Companion, once edited, point at: migration-proxy for the
	// Ingress (ProxyService), one of its own for the Companion (CompanionService).
	Proxies []string
}
