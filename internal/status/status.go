package status

import "time"

// Status is the state of one replica at one moment. The path /status serves it
// as JSON.
type Status struct {
	// Version is the version of the program.
	Version string `json:"version"`
	// StartedAt is when the agent started.
	StartedAt time.Time `json:"started_at"`
	// Now is when this status was made.
	Now time.Time `json:"now"`
	// Ready is true while a config is in force and nginx runs.
	Ready bool `json:"ready"`
	// Config is the migration config that this replica serves.
	Config Config `json:"config"`
	// Nginx is the nginx process of this replica.
	Nginx Nginx `json:"nginx"`
	// Log is how the access log is read.
	Log Log `json:"log"`
	// Services has one entry for each service of the config in force, by name.
	Services []Service `json:"services"`
}

// Row is what the replica says of a service; nil if it does not serve it.
func (s *Status) Row(service string) *Service {
	for i := range s.Services {
		if s.Services[i].Name == service {
			return &s.Services[i]
		}
	}
	return nil
}

// Config names the migration config in force, and has the problems of a newer
// one that is not in force.
type Config struct {
	// Source is a file name, or NAMESPACE/NAME of a ConfigMap.
	Source string `json:"source"`
	// Digest is the migration.Table.Digest of the config in force; "" before the
	// first one.
	Digest string `json:"digest"`
	// Since is when this config came in force.
	Since time.Time `json:"since"`
	// Rejected is the newest config if it is not in force; nil otherwise.
	Rejected *Rejected `json:"rejected,omitempty"`
	// Results counts configs since the agent started. The keys are "applied" and
	// the stages that refuse a config (Rejected.Stage).
	Results map[string]uint64 `json:"results"`
}

// InSync tells whether the newest config is the one that is served.
func (c Config) InSync() bool { return c.Digest != "" && c.Rejected == nil }

// Rejected is a config that was read and not put in force.
type Rejected struct {
	// At is when the config was refused.
	At time.Time `json:"at"`
	// Stage is the step that refused it: load, generate, test or apply.
	Stage string `json:"stage"`
	// Problems has one text for each mistake.
	Problems []string `json:"problems"`
}

// Nginx is the state of the nginx process that the agent supervises.
type Nginx struct {
	// Version is the version of nginx, such as 1.27.4.
	Version string `json:"version"`
	// KnownHoles are the published weaknesses of this version that matter for the proxy,
	// one text each. A distributor may have mended them without changing the version.
	KnownHoles []string `json:"known_holes,omitempty"`
	// PID is the process id of the master process; 0 while none runs.
	PID int `json:"pid"`
	// StructureDigest is the digest of the nginx configuration that is loaded.
	StructureDigest string `json:"structure_digest"`
	// Since is when the master process started.
	Since time.Time `json:"since"`
	// Workers are the worker processes; nil in a brief status.
	Workers *Workers `json:"workers,omitempty"`
	// Reloads counts reloads since the agent started.
	Reloads int `json:"reloads"`
	// Restarts counts unplanned restarts since the agent started.
	Restarts int `json:"restarts"`
	// LastError is why nginx last ended or could not be started; "" if neither happened.
	LastError string `json:"last_error,omitempty"`
	// SideProblem is why nginx cannot do its work: it does not see the shares of the
	// services, so that it sends everything to old, it answers nothing, or it has no
	// connection for requests; "" if all is well. The replica is otherwise not ready.
	SideProblem string `json:"side_problem,omitempty"`
	// ConnectionsTaken tells that SideProblem is about connections.
	ConnectionsTaken bool `json:"connections_taken,omitempty"`
	// MemoryTaken tells that workers were refused memory within the last minute, because
	// little is left of that of the container. They end connections that need some.
	MemoryTaken bool `json:"memory_taken,omitempty"`
}

// Workers counts the worker processes of nginx.
type Workers struct {
	// Serving are those that accept connections.
	Serving int `json:"serving"`
	// ShuttingDown are those that a reload has replaced, and that still have clients.
	// Each keeps its memory and its config.
	ShuttingDown int `json:"shutting_down"`
}

// Log counts the lines of the access log since the agent started.
type Log struct {
	// Lines counts the lines that were read.
	Lines uint64 `json:"lines"`
	// Dropped counts lines that could not be parsed or were not forwarded in time.
	Dropped uint64 `json:"dropped"`
}

// Service is the state of one service in one replica.
type Service struct {
	// Name is the service's name in the migration config.
	Name string `json:"name"`
	// OldHost is the host that clients request.
	OldHost string `json:"old_host"`
	// PathPrefix is the path below which the service serves requests; "/" is all paths.
	PathPrefix string `json:"path_prefix"`
	// Strategy is the strategy of the config: weight, user_hash and so on.
	Strategy string `json:"strategy"`
	// Share is the percentage of requests that config and ramp want at new, 0 to 100. It
	// is 0 while the service is disabled and for the strategies header and ip.
	Share float64 `json:"share_percent"`
	// Ramp is what Share is the smaller one of; nil without a ramp.
	Ramp *Ramp `json:"ramp,omitempty"`
	// Phase is where the service is in its migration.
	Phase Phase `json:"phase"`
	// Reason is why the service has this phase, or "".
	Reason string `json:"reason,omitempty"`
	// Observed is the percentage of the last minute's requests that the decision
	// sent to new, without those from before Split.Since; nil when they are fewer
	// than 20, which would say little.
	Observed *float64 `json:"observed_percent"`
	// ObservedRequests is how many requests Observed is about.
	ObservedRequests uint64 `json:"observed_requests"`
	// RulesToNew tells whether a header or IP rule sends requests to new, whatever the
	// percentage is.
	RulesToNew bool `json:"rules_to_new,omitempty"`
	// SideProblem is why nginx sends requests of this service elsewhere than its share
	// says; "" if it does not.
	SideProblem string `json:"side_problem,omitempty"`
	// LastRequest is when the newest request ended; zero if none has since the agent
	// started.
	LastRequest time.Time `json:"last_request_at,omitzero"`
	// Requests counts the answers that clients got since the agent started, and
	// ServerErrors those of them with a status from 500 on.
	Requests     uint64 `json:"requests"`
	ServerErrors uint64 `json:"server_errors"`
	// Split counts the requests that the percentage decided, since it last changed.
	Split Split `json:"split"`
	// Comparison is what this replica found by asking both sides; nil unless the config
	// says compare.continuous.
	Comparison *Comparison `json:"comparison,omitempty"`
	// Old is the state of the old backend.
	Old Side `json:"old"`
	// New is the state of the new backend.
	New Side `json:"new"`
}

// Rate is the requests per second that the service gets, on both sides.
func (s Service) Rate() float64 { return s.Old.Rate + s.New.Rate }

// Comparison is how alike both sides answered in the last hour.
type Comparison struct {
	// Samples is how many requests both sides were asked.
	Samples int `json:"samples"`
	// Same is the percentage of the requests on which they answer alike; nil without a sample.
	Same *float64 `json:"same_percent"`
	// Covered is the percentage of the requests whose route has a sample.
	Covered float64 `json:"covered_percent"`
	// Findings are the differences, the most frequent first, at most five.
	Findings []string `json:"findings,omitempty"`
	// Paused is why nothing is asked at the moment; "" if that is not so.
	Paused string `json:"paused,omitempty"`
}

// Ramp is what limits the share of a service with a ramp.
type Ramp struct {
	// Ceiling is the percentage of the config; 0 while the service is disabled.
	Ceiling float64 `json:"ceiling_percent"`
	// Position is how far the ramp has come, as this replica knows it.
	Position float64 `json:"position_percent"`
	// Advise says that the ramp moves nothing: Share is Ceiling.
	Advise bool `json:"advise,omitempty"`
	// Problem is why the ramp cannot move whatever was measured; "" if it can. Only a
	// proxy with a local config, which is the leader of its ramps, knows it.
	Problem string `json:"problem,omitempty"`
}

// Side is the state of one backend of a service. Rates and latencies cover the
// last minute.
type Side struct {
	// Backend is the backend as the config has it.
	Backend string `json:"backend"`
	// Addresses are the addresses (IP:PORT) that nginx uses.
	Addresses []string `json:"addresses"`
	// Unresolved is why the last DNS lookup of the backend failed; "" if it succeeded.
	Unresolved string `json:"unresolved,omitempty"`
	// Warning says that requests to the backend cannot reach an application: they come
	// back to this proxy, or new redirects to the address that was asked for; or that it
	// sends early hints, which this nginx does not know. It is "" if none did within ten
	// minutes.
	Warning string `json:"warning,omitempty"`
	// CertificateProblem is why the newest content of the certificate files of new is
	// not in use; "" if it is. The last good content is.
	CertificateProblem string `json:"certificate_problem,omitempty"`
	// Rate is requests per second.
	Rate float64 `json:"requests_per_second"`
	// Failed is the part of the requests, 0 to 1, that got no response or a 5xx.
	Failed float64 `json:"failed_ratio"`
	// P50 is the median latency in seconds.
	P50 float64 `json:"latency_p50_seconds"`
	// P99 is the 99th percentile of the latency in seconds.
	P99 float64 `json:"latency_p99_seconds"`
	// Rescued counts, since the agent started, requests that failed at new and
	// that old then answered.
	Rescued uint64 `json:"rescued"`
}
