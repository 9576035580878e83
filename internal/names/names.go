package names

// The objects of the proxy's namespace.
const (
	Namespace    = "migration-proxy"         // unless another is chosen
	ConfigMap    = "migration-config"        // the users' migration config
	ConfigKey    = "migration.yaml"          // its key
	StateMap     = "migration-state"         // status.Cluster, written by the watcher
	Webhook      = "migration-proxy-webhook" // Service, service account, certificate and registrations of admission
	Lease        = "migration-proxy-watcher" // the leader's
	ProxyService = "migration-proxy"         // the data plane: what Ingresses are pointed at, in every namespace that has such
)

// The ports of Service ProxyService, by name and number. PortStatus is in the
// proxy's namespace only.
const (
	PortTraffic = "http"   // decided by the migration config
	PortNew     = "new"    // always new, for mode canary
	PortStatus  = "status" // /health /ready /metrics /status

	TrafficPort = 80
	NewPort     = 8001
)

// The ports of the processes.
const (
	TrafficTargetPort = 8000 // of a proxy, behind TrafficPort; NewPort is the same on both
	HTTPPort          = 8080 // /health /ready /metrics, of both processes
	AdmissionPort     = 9443 // of the webhook, by TLS
)

// Group is the domain of our annotations, labels and webhooks.
const Group = "migration-proxy.io"

// What all objects carry that we make besides those of the chart.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	Manager        = "migration-proxy" // also the field manager of what we change
)
