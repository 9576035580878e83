package status

import "slices"

// Phase is where a service, or an Ingress, is in its migration.
type Phase string

// The phases of a service in one replica. Bypassed is a phase of the cluster.
const (
	Disabled   Phase = "Disabled"   // migration.enabled is false: all requests go to old
	Migrating  Phase = "Migrating"  // requests are decided by rules and percentage
	FallenBack Phase = "FallenBack" // new failed, or an operator tripped the service: all requests go to old
	Recovering Phase = "Recovering" // new gets traffic again, and one more failure trips the service again
)

// Bypassed is the phase of an Ingress whose traffic does not pass through the
// proxy, because no replica is ready to serve it or because everything is paused.
const Bypassed Phase = "Bypassed"

// bySeverity lists every phase, from the one with the most traffic to new to the
// one with the least. FallenBack ends by itself when new is healthy again, and
// Bypassed when the proxy is healthy again; only a user ends Disabled. "" is an
// unknown phase.
var bySeverity = []Phase{"", Migrating, Recovering, FallenBack, Bypassed, Disabled}

// WorseThan tells whether p keeps more traffic from new than the other phase.
// All code uses this order: a service shows the worst phase of its
// replicas, and an Ingress the worst phase of its services.
func (p Phase) WorseThan(other Phase) bool {
	return slices.Index(bySeverity, p) > slices.Index(bySeverity, other)
}
