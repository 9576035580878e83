package config

import (
	"net/netip"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// The format. Tags: yaml is the key; doc its description; default what holds
// when the key is absent, written as in YAML (a list with commas); required
// and blank ("" is allowed and means none) are flags. The types are leaves
// (leaf.go), structs, pointers (absent is nil) and lists.

type document struct {
	Global   global    `yaml:"global" doc:"What holds for all services."`
	Services []service `yaml:"services" required:"true" doc:"The applications on the move; [] is none."`
}

type global struct {
	DefaultTimeout time.Duration  `yaml:"default_timeout" default:"30s" doc:"Connect, send and read timeout towards both sides, 1ms to 1h."`
	RetryAttempts  tries          `yaml:"retry_attempts" default:"3" doc:"Tries on the chosen side for one request, in all."`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" doc:"Networks whose X-Forwarded-For is believed."`
	DebugHeaders   bool           `yaml:"debug_headers" doc:"Answers carry X-Migration-Side and X-Migration-Reason."`
}

type service struct {
	Name        migration.Name       `yaml:"name" required:"true" doc:"Unique name, as metrics, logs and annotations have it."`
	OldHost     oldHost              `yaml:"old_host" required:"true" doc:"Host that clients ask for; may begin with *. for any labels before the rest."`
	OldBackend  migration.Backend    `yaml:"old_backend" required:"true" doc:"host:port or scheme://host[:port] of the old Service; https is not verified."`
	NewHost     migration.Host       `yaml:"new_host" required:"true" doc:"Host header and SNI towards new."`
	NewBackend  migration.Backend    `yaml:"new_backend" required:"true" doc:"host:port or scheme://host[:port] of new; port 443 means https unless a scheme is written."`
	PathPrefix  migration.PathPrefix `yaml:"path_prefix" default:"/" doc:"Paths that are meant, element by element; (old_host, path_prefix) is unique."`
	Mode        migration.Mode       `yaml:"mode" default:"proxy" doc:"proxy: all traffic crosses the proxy; canary: the ingress controller splits by canary annotations."`
	Timeout     *time.Duration       `yaml:"timeout" doc:"Overrides global.default_timeout."`
	MaxBodySize byteSize             `yaml:"max_body_size" default:"0" doc:"Largest request body: bytes, or with k, m, g (1k is 1024); 0 is no limit."`
	Gzip        bool                 `yaml:"gzip" doc:"Compress answers that the side sent uncompressed."`
	TLS         tls                  `yaml:"tls" doc:"How new is spoken to when it is https."`
	Migration   split                `yaml:"migration" doc:"How the traffic is divided."`
	Canary      canary               `yaml:"canary" doc:"Rules that come before the strategy."`
	Fallback    fallback             `yaml:"fallback" doc:"When and for how long traffic goes back to old by itself."`
	HealthCheck *healthCheck         `yaml:"health_check" doc:"Active probe of new; without it recovery probes by connecting."`
}

type tls struct {
	Verify         bool           `yaml:"verify" default:"true" doc:"Check new's certificate."`
	CAFile         filePath       `yaml:"ca_file" blank:"true" doc:"CA certificates in PEM; empty is the system's."`
	ServerName     migration.Host `yaml:"server_name" blank:"true" doc:"SNI and name in new's certificate; empty is new_host."`
	ClientCertFile filePath       `yaml:"client_cert_file" blank:"true" doc:"Client certificate in PEM, together with client_key_file."`
	ClientKeyFile  filePath       `yaml:"client_key_file" blank:"true" doc:"The client certificate's key in PEM."`
}

type split struct {
	Enabled    bool               `yaml:"enabled" default:"false" doc:"false sends everything to old."`
	Strategy   migration.Strategy `yaml:"strategy" default:"weight" doc:"weight: a dice per request; user_hash: the hash of hash_key; header, ip: the rules alone."`
	Percentage migration.Share    `yaml:"percentage" default:"0" doc:"New's part of the traffic, 0 to 100 with at most two decimals."`
	HashKey    migration.HashKey  `yaml:"hash_key" default:"header:X-User-ID" doc:"What user_hash hashes: header:NAME, cookie:NAME or ip."`
	Cohort     migration.Name     `yaml:"cohort" blank:"true" doc:"Services with one cohort and key send the same users to new."`
}

type canary struct {
	HeaderRules []headerRule `yaml:"header_rules" doc:"Asked in this order, before ip_rules."`
	IPRules     []ipRule     `yaml:"ip_rules" doc:"The most specific network wins."`
}

type headerRule struct {
	Header  migration.HeaderName `yaml:"header" required:"true" doc:"The request header's name."`
	Value   headerValue          `yaml:"value" doc:"The whole value, with case. Either this or pattern."`
	Pattern *migration.Pattern   `yaml:"pattern" doc:"Regular expression that matches anywhere in the value, of up to 4096 bytes. Either this or value."`
	Target  migration.Side       `yaml:"target" required:"true" doc:"Where matching requests go."`
}

type ipRule struct {
	CIDR   netip.Prefix   `yaml:"cidr" required:"true" doc:"Network like 10.0.0.0/8, or one address."`
	Target migration.Side `yaml:"target" required:"true" doc:"Where its clients' requests go."`
}

type fallback struct {
	Enabled       bool     `yaml:"enabled" default:"true" doc:"false keeps the share whatever new does."`
	MaxFailures   failures `yaml:"max_failures" default:"5" doc:"Failures of new within failure_window that trip."`
	FailureWindow seconds  `yaml:"failure_window" default:"60" doc:"How long a failure counts: seconds, or like 90s."`
	RecoveryTime  seconds  `yaml:"recovery_time" default:"300" doc:"Wait before the first try to recover: seconds, or like 5m."`
	FailureRatio  ratio    `yaml:"failure_ratio" default:"0" doc:"0 to 1; failures per request to new must reach this too."`
	OnStatus      []status `yaml:"on_status" default:"502,503,504" doc:"Statuses of new that count as failures."`
}

type healthCheck struct {
	Path      probePath     `yaml:"path" blank:"true" doc:"Path to GET; empty is connecting only."`
	Interval  time.Duration `yaml:"interval" default:"5s" doc:"From probe to probe."`
	Timeout   time.Duration `yaml:"timeout" default:"2s" doc:"For one probe."`
	Healthy   streak        `yaml:"healthy" default:"2" doc:"Successes in a row that make new healthy."`
	Unhealthy streak        `yaml:"unhealthy" default:"3" doc:"Failures in a row that make new unhealthy."`
	Status    statusRange   `yaml:"status" default:"200-399" doc:"Statuses that count as success: one, or lowest-highest."`
}
