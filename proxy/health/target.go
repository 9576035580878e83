package health

import (
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Key names a target: one side of one service.
type Key struct {
	Service migration.Name
	Side    migration.Side
}

// Spec says how to probe. The result of another Spec says nothing about this
// one.
type Spec struct {
	Backend    migration.Backend
	Host       string // Host header
	ServerName string // SNI, and the name in the certificate
	TLS        migration.TLS
	Check      migration.HealthCheck
	GRPC       bool // speak HTTP/2, and ask gRPC's health service if Check has a path
	// ClientHost is the host that clients call, as new learns it from X-Forwarded-Host;
	// "" for old.
	ClientHost string
	// OnDemand targets are probed only while SetDemand says so.
	OnDemand bool
}

// Target is one side of one service, and how to probe it.
type Target struct {
	Key
	Spec
}

// onDemandCheck is the check of a service without health_check: whether it
// accepts connections.
var onDemandCheck = migration.HealthCheck{Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3}

// TargetsOf gives the targets of a service: new and old when it has a health
// check, else new on demand.
func TargetsOf(s *migration.Service) []Target {
	spec := Spec{
		Backend: s.NewBackend, Host: string(s.NewHost), ServerName: string(s.ServerName()), TLS: s.TLS, GRPC: s.GRPC(),
		ClientHost: string(s.OldHost),
		Check:      onDemandCheck, OnDemand: s.HealthCheck == nil,
	}
	if s.HealthCheck == nil {
		return []Target{{Key{s.Name, migration.New}, spec}}
	}
	spec.Check = *s.HealthCheck
	return []Target{{Key{s.Name, migration.New}, spec}, {Key{s.Name, migration.Old}, oldSpec(s)}}
}

// oldSpec probes old with the Host that clients send. The Host is unknown for
// a wildcard: old is then only connected to. The certificate of old is not
// verified, as for traffic.
func oldSpec(s *migration.Service) Spec {
	spec := Spec{
		Backend: s.OldBackend, Host: string(s.OldHost), ServerName: string(s.OldHost),
		Check: *s.HealthCheck, GRPC: s.GRPC(),
	}
	if s.OldHost.Wildcard() {
		spec.Backend.Scheme, spec.Check.Path = migration.HTTP, ""
	}
	return spec
}
