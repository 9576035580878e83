package wire

import "time"

// The ports that every actor has, whatever its role.
const (
	TrafficPort = 8000 // backend (plain) and controller
	TLSPort     = 8443 // backend with --tls
	ControlPort = 9090 // /healthz, /ready and what the role answers
)

// The headers of a backend's answer.
const (
	BackendHeader = "X-E2e-Backend" // its name
	// IngressHeader is set by the controller: NAMESPACE/NAME of the Ingress
	// whose path the request was sent by.
	IngressHeader = "X-E2e-Ingress"
)

// The paths of the control port.
const (
	PathHealth = "/healthz"
	PathReady  = "/ready"
	PathOutage = "/outage" // backend: POST Outage
	PathCounts = "/counts" // backend: GET Counts
	PathRoutes = "/routes" // controller: GET text
	PathRun    = "/run"    // traffic: POST Load, answers Report when it has ended
	PathStart  = "/start"  // traffic: POST Load, goes on until PathStop
	PathWatch  = "/watch"  // traffic: GET ?name=, Report so far
	PathStop   = "/stop"   // traffic: POST ?name=, the last Report
)

// The ways in which a backend can fail.
const (
	Healthy = ""       // it answers
	Status  = "status" // it answers with Outage.Status
	Hang    = "hang"   // it reads the request and never answers
	Reset   = "reset"  // it reads the request and resets the connection
	Refuse  = "refuse" // it does not listen
)

// Outage tells a backend how to fail from now on.
type Outage struct {
	Mode   string `json:"mode"`
	Status int    `json:"status,omitempty"`
}

// Counts is what a backend was asked since it started.
type Counts struct {
	Total int            `json:"total"`
	Paths map[string]int `json:"paths"`
	Hosts map[string]int `json:"hosts"`
}

// Echo is the body of a backend's answer: what it saw of the request.
type Echo struct {
	Backend string              `json:"backend"`
	Method  string              `json:"method"`
	Host    string              `json:"host"`
	SNI     string              `json:"sni,omitempty"`
	Target  string              `json:"target"`
	Header  map[string][]string `json:"header"`
}

// Load is a stream of requests through the ingress controller.
type Load struct {
	Name        string            `json:"name,omitempty"`   // for PathStart, unique
	Target      string            `json:"target,omitempty"` // HOST:PORT to ask; "" is the ingress controller
	Host        string            `json:"host"`
	Path        string            `json:"path"`
	Method      string            `json:"method,omitempty"` // "" is GET
	Body        string            `json:"body,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Requests    int               `json:"requests,omitempty"` // end after this many; 0 is no bound
	Connections int               `json:"connections"`        // 0 is 1
	Rate        float64           `json:"rate,omitempty"`     // per second, over all connections; 0 is as fast as possible
}

// Report is what became of a Load's requests. A request without a whole
// answer, or with a status of 500 or more, has failed; nothing is retried.
type Report struct {
	Sent     int                  `json:"sent"` // requests whose fate is known
	Sides    map[string]int       `json:"sides"`
	Statuses map[int]int          `json:"statuses"`
	Failed   int                  `json:"failed"`
	Failures []string             `json:"failures,omitempty"` // the first few
	First    map[string]time.Time `json:"first"`              // by side, when the answer was there
	Last     map[string]time.Time `json:"last"`
	Sample   *Echo                `json:"sample,omitempty"` // the last answer
	Ingress  map[string]int       `json:"ingress"`          // by IngressHeader
	Now      time.Time            `json:"now"`              // the load generator's clock
}
