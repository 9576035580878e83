package names

// The objects of the proxy's namespace.
const (
	Namespace    = "migration-proxy"         // unless another is chosen
	ConfigMap    = "migration-config"        // the users' migration config
	ConfigKey    = "migration.yaml"          // its key
	StateMap     = "migration-state"         // status.Cluster, written by the watcher
	RampMap      = "migration-ramp"          // status.Positions and the machines of the ramps, written by the watcher
	JournalMap   = "migration-journal"       // journal.Journal, written by the watcher
	AuditMap     = "migration-audit"         // journal.Notes of each webhook replica: who changed what
	Webhook      = "migration-proxy-webhook" // Service, service account, certificate and webhook configurations
	Lease        = "migration-proxy-watcher" // of the leader election
	ProxyService = "migration-proxy"         // the data plane; rewritten Ingresses point at the Service of this name in their namespace
)

// AppliedHooks is the ConfigMap that exists in the proxy's namespace while Helm's
// hooks were applied like ordinary objects; see restore-hook.yaml of the chart.
const AppliedHooks = "migration-proxy-applied-hooks"

// The ports of Service ProxyService, by name and number. Only the Service in the
// proxy's namespace has PortStatus.
const (
	PortTraffic = "http"   // old or new, as the migration config says
	PortNew     = "new"    // always new, for mode canary
	PortGRPC    = "grpc"   // old or new, by HTTP/2
	PortStatus  = "status" // /health /ready /metrics /status

	TrafficPort = 80
	NewPort     = 8001
	GRPCPort    = 8002
)

// The ports of the processes.
const (
	TrafficTargetPort = 8000 // of a proxy, behind TrafficPort; NewPort and GRPCPort are the same on both
	HTTPPort          = 8080 // /health /ready /metrics, of the proxy and the webhook
	AdmissionPort     = 9443 // of the webhook, with TLS
)

// Group is the domain in the names of annotations, labels and webhooks.
const Group = "migration-proxy.io"

// The label of all objects that the programs create, and its value.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	Manager        = "migration-proxy" // also the field manager of their changes
)
