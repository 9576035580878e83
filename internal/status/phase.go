package status

import "slices"

// Phase is where a service, or an Ingress, is in its migration.
type Phase string

// The phases of a service in one replica. Bypassed is a phase of the cluster.
const (
	Disabled   Phase = "Disabled"   // migration.enabled is false: all requests go to old
	Migrating  Phase = "Migrating"  // requests are decided by rules and percentage
	FallenBack Phase = "FallenBack" // new failed, or an operator tripped it: all requests go to old
	Recovering Phase = "Recovering" // new gets traffic again, and one more failure sends it back
)

// Bypassed is the phase of an Ingress whose traffic does not cross the proxy,
// because no replica is ready to serve it or because everything is paused.
const Bypassed Phase = "Bypassed"

// bySeverity is every phase, from the one that lets most traffic reach new to
// the one that lets none. FallenBack ends by itself when new is healthy again;
// Bypassed ends when the proxy is; Disabled only ends when a user ends it.
// "" is a phase that is not known.
var bySeverity = []Phase{"", Migrating, Recovering, FallenBack, Bypassed, Disabled}

// WorseThan tells whether p keeps more traffic from new than the other phase.
// It is the one order of phases: a service shows the worst phase of its
// replicas, and an Ingress the worst phase of its services.
func (p Phase) WorseThan(other Phase) bool {
	return slices.Index(bySeverity, p) > slices.Index(bySeverity, other)
}
