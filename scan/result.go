package scan

import "github.com/migration-proxy/migration-proxy/migration"

// Verdict is what would become of a path or an Ingress if its user opted it in.
type Verdict string

// The verdicts, the best first.
const (
	Skipped  Verdict = "skipped"  // an ACME challenge: it is not to be migrated
	Ready    Verdict = "ready"    // it is migrated, and nothing changes but the way
	Adjusted Verdict = "adjusted" // it is migrated, and an annotation has another value meanwhile
	Warned   Verdict = "warned"   // it is migrated, and something changes for its requests
	Held     Verdict = "held"     // admission takes it, and the watcher leaves it at old: because of other objects
	Refused  Verdict = "refused"  // admission says that it is not migrated, and why
)

// Verdicts are all verdicts, the best first.
func Verdicts() []Verdict { return []Verdict{Skipped, Ready, Adjusted, Warned, Held, Refused} }

func (v Verdict) rank() int {
	for i, other := range Verdicts() {
		if v == other {
			return i
		}
	}
	return -1
}

// AtLeast tells whether the verdict is as bad as the other, or worse.
func (v Verdict) AtLeast(other Verdict) bool { return v.rank() >= other.rank() }

// Migrates tells whether requests reach the proxy.
func (v Verdict) Migrates() bool { return v == Ready || v == Adjusted || v == Warned }

// Result is what a scan found.
type Result struct {
	Ingresses   []Ingress      `json:"ingresses"` // by namespace and name
	Totals      Totals         `json:"totals"`
	Controllers []Controller   `json:"controllers"`               // by name
	Shared      []SharedTarget `json:"shared_services,omitempty"` // by namespace and name
	Missing     int            `json:"missing_services"`          // that a migration config needs and has not
	Notes       []string       `json:"notes,omitempty"`           // what could not be looked at
}

// Ingress is the verdict on one Ingress.
type Ingress struct {
	Namespace  string  `json:"namespace"`
	Name       string  `json:"name"`
	Source     string  `json:"source,omitempty"` // the file that it comes from
	Class      string  `json:"class,omitempty"`
	Controller string  `json:"controller,omitempty"` // of the class; "" if there is none
	OptedIn    bool    `json:"opted_in"`
	Canary     bool    `json:"canary,omitempty"`
	Solver     bool    `json:"acme_solver,omitempty"`
	Verdict    Verdict `json:"verdict"` // the worst of its paths, but for skipped ones
	Reason     string  `json:"reason,omitempty"`
	Paths      []Path  `json:"paths"`
	// Warnings are those that admission prints.
	Warnings []string `json:"warnings,omitempty"`
}

// Path is the verdict on one path.
type Path struct {
	Host    string         `json:"host"`
	Path    string         `json:"path"`
	Backend string         `json:"backend,omitempty"` // SERVICE:PORT; "" if it is no Service
	Service migration.Name `json:"service,omitempty"` // of the migration config
	Mode    migration.Mode `json:"mode,omitempty"`
	Verdict Verdict        `json:"verdict"`
	Code    string         `json:"code,omitempty"` // of the check that leaves it at old
	Reasons []string       `json:"reasons,omitempty"`
}

// Totals count Ingresses and paths.
type Totals struct {
	Ingresses map[Verdict]int `json:"ingresses"`
	Paths     map[Verdict]int `json:"paths"`
	// ReadyPercent is the part of the paths that would be migrated now, without the
	// skipped ones; 100 if there are none.
	ReadyPercent int `json:"ready_percent"`
	Canaries     int `json:"canaries"`     // Ingresses that split traffic already
	ACMESolvers  int `json:"acme_solvers"` // Ingresses of cert-manager
	WithoutHost  int `json:"paths_without_host"`
}

// Controller counts the Ingresses of one controller.
type Controller struct {
	Name      string `json:"name"` // "" if the class of the Ingresses does not exist
	Ingresses int    `json:"ingresses"`
}

// SharedTarget is a Service and port that several Ingresses point at.
type SharedTarget struct {
	Namespace string   `json:"namespace"`
	Backend   string   `json:"backend"`
	Ingresses []string `json:"ingresses"`
}
