package health

import (
	"net/netip"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Key names what is probed: one side of one service.
type Key struct {
	Service migration.Name
	Side    migration.Side
}

// Spec is how to probe. Two equal ones are the same question; another one
// makes the answers so far meaningless.
type Spec struct {
	Backend    migration.Backend
	Host       string // Host header
	ServerName string // SNI, and the name in the certificate
	TLS        migration.TLS
	Check      migration.HealthCheck
	// OnDemand: probed only while Demand says so.
	OnDemand bool
}

// Target is one thing to probe.
type Target struct {
	Key
	Spec
	// Addresses gives where the backend is now, in a stable order; none is a
	// failure to connect. It is called for each probe and must not block.
	Addresses func() []netip.AddrPort
}

// onDemand is how a service without health_check is asked whether it can be
// connected to.
var onDemand = migration.HealthCheck{Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3}

// For gives a service's targets: new, on demand when the service has no
// health check, and old when it has one.
func For(s *migration.Service, addresses func(migration.Backend) []netip.AddrPort) []Target {
	of := func(side migration.Side, spec Spec) Target {
		return Target{
			Key: Key{s.Name, side}, Spec: spec,
			Addresses: func() []netip.AddrPort { return addresses(spec.Backend) },
		}
	}
	spec := Spec{
		Backend: s.NewBackend, Host: string(s.NewHost), ServerName: string(s.ServerName()), TLS: s.TLS,
		Check: onDemand, OnDemand: s.HealthCheck == nil,
	}
	if s.HealthCheck == nil {
		return []Target{of(migration.New, spec)}
	}
	spec.Check = *s.HealthCheck
	return []Target{of(migration.New, spec), of(migration.Old, oldSpec(s))}
}

// oldSpec asks old with the Host that clients use. Behind a wildcard that is
// not known, and old is only connected to.
func oldSpec(s *migration.Service) Spec {
	spec := Spec{
		Backend: s.OldBackend, Host: string(s.OldHost), ServerName: string(s.OldHost),
		Check: *s.HealthCheck, // its certificate is not verified for traffic, either
	}
	if s.OldHost.Wildcard() {
		spec.Backend.Scheme, spec.Check.Path = migration.HTTP, ""
	}
	return spec
}
