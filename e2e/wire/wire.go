package wire

import "time"

// The ports of an actor.
const (
	TrafficPort = 8000 // backend (plain) and controller
	TLSPort     = 8443 // backend with --tls, and HAProxy Ingress
	ControlPort = 9090 // /healthz, /ready and what the role answers
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

	PathConnect = "/connect" // traffic: GET ?address=HOST:PORT, answers Connected
)

// The ways in which a backend can fail.
const (
	Healthy = ""       // it answers
	Status  = "status" // it answers with Outage.Status
	Hang    = "hang"   // it reads the request and never answers
	Reset   = "reset"  // it reads the request and resets the connection
	Refuse  = "refuse" // it does not listen
)

// Outage says how a backend fails from now on.
type Outage struct {
	Mode   string `json:"mode"`
	Status int    `json:"status,omitempty"`
	Method string `json:"method,omitempty"` // only requests with this method fail; "" is all
	Every  int    `json:"every,omitempty"`  // one of so many requests fails; 0 is all
}

// Counts has the requests that a backend has received.
type Counts struct {
	Paths map[string]int `json:"paths"`
	Hosts map[string]int `json:"hosts"`
	Last  *Request       `json:"last,omitempty"`
}

// Request is what a backend records of a request.
type Request struct {
	Host   string              `json:"host"`
	SNI    string              `json:"sni,omitempty"`
	Target string              `json:"target"`
	Header map[string][]string `json:"header"`
}

// Connected tells whether a TCP connection to an address was possible.
type Connected struct {
	OK bool `json:"ok"`
}

// Load is a series of requests through the ingress controller.
type Load struct {
	Name        string            `json:"name,omitempty"`   // for PathStart, unique
	Target      string            `json:"target,omitempty"` // HOST:PORT; "" is the ingress controller
	Host        string            `json:"host"`
	Path        string            `json:"path"`
	Method      string            `json:"method,omitempty"` // "" is GET
	Body        string            `json:"body,omitempty"`
	Header      map[string]string `json:"header,omitempty"`
	Requests    int               `json:"requests,omitempty"` // end after this many; 0 is no bound
	Connections int               `json:"connections"`        // 0 is 1
	Rate        float64           `json:"rate,omitempty"`     // per second, over all connections; 0 is as fast as possible
	// Reloads: the controller ends kept connections when it reloads. A request that it
	// has not read is sent once more, and counts in Report.Reopened.
	Reloads bool `json:"reloads,omitempty"`
	// GRPC makes calls of gRPC, of several kinds in turn, in place of requests. Path, Method,
	// Body, Header and Reloads do nothing.
	GRPC bool `json:"grpc,omitempty"`
	TLS  bool `json:"tls,omitempty"` // of gRPC; the certificate is not checked
}

// Report has the results of a Load. A request has failed if there was no complete
// answer, an answer that no backend gave (for example a proxy's 404 or 421), or a
// status of 500 or more. The client repeats no request, apart from Load.Reloads. A call of
// gRPC has failed if a message, metadata, the trailers or the status did not arrive;
// Statuses are then those of gRPC.
type Report struct {
	Sent     int                  `json:"sent"`  // requests with a known result
	Sides    map[string]int       `json:"sides"` // whole answers by backend; "" is none
	Statuses map[int]int          `json:"statuses"`
	Failed   int                  `json:"failed"`
	Failures []string             `json:"failures,omitempty"` // the first few
	Reopened int                  `json:"reopened,omitempty"` // sent once more, see Load.Reloads
	First    map[string]time.Time `json:"first"`              // by side, when the first answer arrived
	Last     map[string]time.Time `json:"last"`
	Now      time.Time            `json:"now"` // the load generator's clock
}
