package config

import (
	"net/netip"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// These structs are the format. Tag yaml is the key, and tag doc is its description.
// Tag default is the value if the key does not exist, written as in YAML (a list
// with commas). Tag required marks keys that must exist, and tag blank marks keys
// whose value may be "", which means none. The types are leaves (leaf.go), structs,
// pointers (nil if the key does not exist) and lists.

type document struct {
	Global   global    `yaml:"global" doc:"Settings for all services."`
	Services []service `yaml:"services" required:"true" doc:"The applications that migrate; [] for none."`
}

type global struct {
	DefaultTimeout time.Duration      `yaml:"default_timeout" default:"60s" doc:"How long new may take until its answer begins, and be silent within a request or an answer, 1ms to 1h; old has no such limit, and upgraded connections and event streams of new have a day."`
	ConnectTimeout *time.Duration     `yaml:"connect_timeout" doc:"How long a connection to either side may take, TLS included; the default is 5s, or timeout where that is shorter."`
	Keepalive      keepalive          `yaml:"keepalive" doc:"Connections to backends that stay open between requests."`
	RetryAttempts  tries              `yaml:"retry_attempts" default:"3" doc:"Maximum number of attempts at the chosen side for one request."`
	TrustedProxies []netip.Prefix     `yaml:"trusted_proxies" doc:"Networks whose X-Forwarded-For is believed by rules; with --local-config also whose headers about the client pass unchanged."`
	DebugHeaders   bool               `yaml:"debug_headers" doc:"Add X-Migration-Side and X-Migration-Reason to responses, and X-Migration-Cache to those that could be cached."`
	DropInvalid    bool               `yaml:"drop_invalid_headers" doc:"Drop request headers whose names have other characters than letters, digits and hyphens, as nginx and ingress-nginx do by default; rules then read X-Name and never X_Name."`
	CacheSize      cacheSize          `yaml:"cache_size" default:"256m" doc:"Maximum size on disk of what the caches of all services keep, 1m to 1024g."`
	Freeze         []migration.Freeze `yaml:"freeze" doc:"Times without a step up of any ramp: two days of UTC, which belong to it, or two times with an offset; a step down is always allowed."`
	Notify         []notifyTarget     `yaml:"notify" doc:"Addresses that the watcher tells what happens; in a cluster only."`
}

type notifyTarget struct {
	URLFile  urlFile                `yaml:"url_file" required:"true" doc:"File of the watcher's pod with the address, which is a secret; webhook.notifySecret of the chart mounts it."`
	Format   migration.NotifyFormat `yaml:"format" required:"true" doc:"slack: an incoming webhook of Slack; teams: a webhook of Teams Workflows; json: the entry of the journal as it is."`
	On       []entryKind            `yaml:"on" default:"fell_back,recovered,config_rejected,bypassed,ramp_advanced,ramp_returned,ramp_needs_you,paused" doc:"Kinds of entries of the journal that are sent, each at most once."`
	Services []migration.Name       `yaml:"services" doc:"Names of services whose entries are sent, with the entries that concern all; without it, those of all services."`
}

type service struct {
	Name           migration.Name       `yaml:"name" required:"true" doc:"Unique name; metrics, logs and annotations use it."`
	OldHost        oldHost              `yaml:"old_host" required:"true" doc:"Host that clients request; it may begin with *. for any labels before the rest."`
	OldBackend     migration.Backend    `yaml:"old_backend" required:"true" doc:"host:port or scheme://host[:port] of the old Service; an https certificate is not verified."`
	NewHost        migration.Host       `yaml:"new_host" required:"true" doc:"Host header and SNI of requests to new."`
	NewBackend     migration.Backend    `yaml:"new_backend" required:"true" doc:"host:port or scheme://host[:port] of new; without a scheme, port 443 means https."`
	Namespaces     []namespace          `yaml:"namespaces" doc:"Namespaces, besides that of old_backend, where annotation migration-proxy.io/service may say that another backend is the same application."`
	RewriteOrigin  bool                 `yaml:"rewrite_origin" default:"true" doc:"In requests to new, put new_host in Origin and Referer in the place of the host that the client called, as in Host; false for an application that compares them with X-Forwarded-Host."`
	PathPrefix     migration.PathPrefix `yaml:"path_prefix" default:"/" doc:"Prefix of the paths that belong to the service, compared element by element; a request that no prefix of its host covers goes to the longest one that its path begins with, upper and lower case alike; (old_host, path_prefix) is unique."`
	Protocol       migration.Protocol   `yaml:"protocol" default:"http" doc:"http, or grpc: clients and both backends speak HTTP/2 as gRPC needs it; requests come in on port 8002."`
	Mode           migration.Mode       `yaml:"mode" default:"proxy" doc:"proxy: all traffic goes through the proxy; canary: the ingress controller splits the traffic by canary annotations."`
	Timeout        *time.Duration       `yaml:"timeout" doc:"Replaces global.default_timeout for this service."`
	ConnectTimeout *time.Duration       `yaml:"connect_timeout" doc:"Replaces global.connect_timeout for this service."`
	Keepalive      serviceKeepalive     `yaml:"keepalive" doc:"Replaces single values of global.keepalive for this service."`
	MaxBodySize    byteSize             `yaml:"max_body_size" default:"0" doc:"Maximum size of a request body: bytes, or a number with k, m or g (1k is 1024); 0 is no limit."`
	Gzip           bool                 `yaml:"gzip" doc:"Compress responses that the backend sent uncompressed."`
	TLS            tls                  `yaml:"tls" doc:"TLS settings for new, if new_backend is https."`
	Migration      split                `yaml:"migration" doc:"The split of the traffic."`
	Canary         canary               `yaml:"canary" doc:"Rules that apply before the strategy."`
	Fallback       fallback             `yaml:"fallback" doc:"When the traffic automatically goes back to old, and for how long."`
	Compare        *comparison          `yaml:"compare" doc:"Comparison of the answers of both sides, see docs/compare.md."`
	Cache          *cache               `yaml:"cache" doc:"Keep answers in the proxy, for each side on its own; without it nothing is kept."`
	HealthCheck    *healthCheck         `yaml:"health_check" doc:"Active health check of new; without it, recovery only checks that a connection succeeds."`
}

type keepalive struct {
	Connections connections   `yaml:"connections" default:"32" doc:"Idle connections that each worker keeps to each side of a service; services with equal backends share what they may have together."`
	Requests    requests      `yaml:"requests" default:"1000" doc:"Requests after which a connection is closed; with 1 none is kept."`
	Idle        time.Duration `yaml:"idle" default:"1500ms" doc:"Time without a request after which a connection is closed; it must be shorter than that of the backends (gunicorn has 2s, Node.js 5s), or requests are lost on connections that a backend closes."`
}

type serviceKeepalive struct {
	Connections *connections   `yaml:"connections" doc:"Replaces global.keepalive.connections."`
	Requests    *requests      `yaml:"requests" doc:"Replaces global.keepalive.requests."`
	Idle        *time.Duration `yaml:"idle" doc:"Replaces global.keepalive.idle."`
}

type tls struct {
	Verify         bool           `yaml:"verify" default:"true" doc:"Check new's certificate."`
	CAFile         filePath       `yaml:"ca_file" blank:"true" doc:"File with CA certificates in PEM; empty for those of the system. A changed file is used within seconds."`
	ServerName     migration.Host `yaml:"server_name" blank:"true" doc:"SNI and name in new's certificate; empty for new_host."`
	ClientCertFile filePath       `yaml:"client_cert_file" blank:"true" doc:"File with the client certificate in PEM; requires client_key_file. A changed pair is used within seconds, once the two match."`
	ClientKeyFile  filePath       `yaml:"client_key_file" blank:"true" doc:"File with the key of the client certificate in PEM."`
}

type split struct {
	Enabled    bool               `yaml:"enabled" default:"false" doc:"false sends all requests to old."`
	Strategy   migration.Strategy `yaml:"strategy" default:"weight" doc:"weight: a random choice for each request; user_hash: the hash of hash_key decides; header, ip: only the rules decide."`
	Percentage migration.Share    `yaml:"percentage" default:"0" doc:"Percentage of the requests for new, 0 to 100 with at most two decimals."`
	HashKey    migration.HashKey  `yaml:"hash_key" default:"header:X-User-ID" doc:"What user_hash knows a user by: header:NAME, cookie:NAME or ip, which it hashes; or sticky, a cookie that the proxy itself sets (sticky:NAME for another name than migration-proxy)."`
	Cohort     migration.Name     `yaml:"cohort" blank:"true" doc:"Services with the same cohort and the same hash_key send the same users to new; with hash_key sticky they must have the same old_host."`
	Ramp       *ramp              `yaml:"ramp" doc:"Raise the share step by step, up to percentage, while new is at least as good as old; the short form is the list of the steps."`
}

type canary struct {
	HeaderRules []headerRule `yaml:"header_rules" doc:"Checked in this order, before ip_rules."`
	IPRules     []ipRule     `yaml:"ip_rules" doc:"The most specific network wins."`
}

type headerRule struct {
	Header  migration.HeaderName `yaml:"header" required:"true" doc:"Name of the request header; X_A counts as X-A."`
	Value   headerValue          `yaml:"value" doc:"The exact value, case-sensitive. Write either value or pattern."`
	Pattern *migration.Pattern   `yaml:"pattern" doc:"Regular expression that matches anywhere in the value, which has at most 4096 bytes. Write either value or pattern."`
	Target  migration.Side       `yaml:"target" required:"true" doc:"The cluster for requests that match."`
}

type ipRule struct {
	CIDR   netip.Prefix   `yaml:"cidr" required:"true" doc:"Network like 10.0.0.0/8, or one address."`
	Target migration.Side `yaml:"target" required:"true" doc:"The cluster for requests from this network."`
}

type fallback struct {
	Enabled       bool     `yaml:"enabled" default:"true" doc:"false keeps the percentage even if new fails."`
	MaxFailures   failures `yaml:"max_failures" default:"5" doc:"Number of failures of new within failure_window that trip the service."`
	FailureWindow seconds  `yaml:"failure_window" default:"60" doc:"How long a failure counts: a number of seconds, or a duration such as 90s."`
	RecoveryTime  seconds  `yaml:"recovery_time" default:"300" doc:"Time from a trip to the first attempt to recover: a number of seconds, or a duration such as 5m."`
	FailureRatio  ratio    `yaml:"failure_ratio" default:"0" doc:"Ratio of failures to requests to new that a trip needs as well, 0 to 1."`
	OnStatus      []status `yaml:"on_status" default:"502,503,504" doc:"Statuses of new that count as failures."`
}

type comparison struct {
	Continuous bool          `yaml:"continuous" default:"false" doc:"true: each replica asks both sides again for a few of the GETs that it sees, at most one a second and 1 % of the service's requests."`
	Skip       []skipPattern `yaml:"skip" doc:"Paths that are never asked, * is any text, beside those with logout, signout, unsubscribe or token=."`
}

type cache struct {
	Enabled bool    `yaml:"enabled" default:"true" doc:"false keeps nothing."`
	TTL     seconds `yaml:"ttl" doc:"How long answers are kept that have no Cache-Control and no Expires: a number of seconds, or a duration such as 5m; without it they are not kept."`
	Cookies bool    `yaml:"cookies" default:"false" doc:"true also for requests with cookies: only where answers that depend on a cookie say so (Vary, private)."`
}

type healthCheck struct {
	Path      probePath     `yaml:"path" blank:"true" doc:"Path of the GET request; empty to check only that a connection succeeds. With protocol grpc it may be /grpc.health.v1.Health/Check, and gRPC's own health service is asked."`
	Interval  time.Duration `yaml:"interval" default:"5s" doc:"Time between two health checks."`
	Timeout   time.Duration `yaml:"timeout" default:"2s" doc:"Timeout of one health check."`
	Healthy   streak        `yaml:"healthy" default:"2" doc:"Successes in a row that make new healthy."`
	Unhealthy streak        `yaml:"unhealthy" default:"3" doc:"Failures in a row that make new unhealthy."`
	Status    statusRange   `yaml:"status" default:"200-399" doc:"Statuses that count as success: one status, or lowest-highest."`
}
