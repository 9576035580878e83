package cluster

// The names of our objects. They live in the proxy's namespace; what is
// generated in others is a Service ProxyService with its EndpointSlices, and a
// Service for each companion Ingress, which has the companion's name.
const (
	Namespace    = "migration-proxy"  // unless another is chosen
	ConfigMap    = "migration-config" // the users' migration config
	ConfigKey    = "migration.yaml"   // its key
	StateMap     = "migration-state"  // status.Cluster, written by the watcher
	ProxyService = "migration-proxy"  // the data plane: what Ingresses are pointed at
	Webhook      = "migration-proxy-webhook"
	Lease        = "migration-proxy-watcher" // the leader's
)

// The ports of Service ProxyService, by name and number.
const (
	PortTraffic = "http"   // 80: decided by the migration config
	PortNew     = "new"    // 8001: always new, for mode canary
	PortStatus  = "status" // 8080: /health /ready /metrics /status, in our own namespace only

	TrafficPort = 80
	NewPort     = 8001
)

// What all objects carry that we make besides those of the chart.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	Manager        = "migration-proxy" // also the field manager of what we change
)
