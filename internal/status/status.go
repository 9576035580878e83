package status

import "time"

// Status is one replica's state at one moment. Its JSON is /status.
type Status struct {
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Now       time.Time `json:"now"`
	Ready     bool      `json:"ready"`
	Config    Config    `json:"config"`
	Nginx     Nginx     `json:"nginx"`
	Log       Log       `json:"log"`
	Services  []Service `json:"services"` // sorted by name
}

// Config tells which migration config is in force, and what is wrong with a
// newer one that is not.
type Config struct {
	Source   string    `json:"source"`             // file name or namespace/name
	Digest   string    `json:"digest"`             // migration.Table.Digest that is served
	Since    time.Time `json:"since"`              // when it began to be served
	Rejected *Rejected `json:"rejected,omitempty"` // the newest config, if it is not in force
	// Results counts configs since the agent started: "applied", or the stage
	// that refused them, see Rejected.
	Results map[string]uint64 `json:"results"`
}

// InSync tells whether the newest config is the one that is served.
func (c Config) InSync() bool { return c.Digest != "" && c.Rejected == nil }

// Rejected is a config that was read and not put in force.
type Rejected struct {
	At       time.Time `json:"at"`
	Stage    string    `json:"stage"` // load, generate, test, apply
	Problems []string  `json:"problems"`
}

// Nginx tells about the supervised process.
type Nginx struct {
	Version         string    `json:"version"`
	PID             int       `json:"pid"` // 0: not running
	StructureDigest string    `json:"structure_digest"`
	Since           time.Time `json:"since"`
	Reloads         int       `json:"reloads"`  // since the agent started
	Restarts        int       `json:"restarts"` // unplanned ones
	LastError       string    `json:"last_error,omitempty"`
}

// Log tells how the access log is read.
type Log struct {
	Lines   uint64 `json:"lines"`
	Dropped uint64 `json:"dropped"` // not understood, or not forwarded in time
}

// Service is one service's row.
type Service struct {
	Name       string  `json:"name"`
	OldHost    string  `json:"old_host"`
	PathPrefix string  `json:"path_prefix"`
	Strategy   string  `json:"strategy"`
	Share      float64 `json:"share_percent"` // desired
	Phase      Phase   `json:"phase"`
	Reason     string  `json:"reason,omitempty"`
	// Observed is the percentage of requests of the last minute that the
	// decision sent to new; nil without requests.
	Observed *float64 `json:"observed_percent"`
	Old      Side     `json:"old"`
	New      Side     `json:"new"`
}

// Side is how one side of a service does, over the last minute.
type Side struct {
	Backend    string   `json:"backend"`
	Addresses  []string `json:"addresses"`
	Unresolved string   `json:"unresolved,omitempty"` // why the name has no (new) address
	Rate       float64  `json:"requests_per_second"`
	// Failed is the part of requests, 0..1, that this side did not answer or
	// answered with 5xx.
	Failed float64 `json:"failed_ratio"`
	P50    float64 `json:"latency_p50_seconds"`
	P99    float64 `json:"latency_p99_seconds"`
	// Rescued counts, since the agent started, requests that new failed and
	// old then answered.
	Rescued uint64 `json:"rescued"`
}
