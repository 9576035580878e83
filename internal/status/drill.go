package status

import (
	"fmt"
	"strings"
	"time"
)

// DrillsKey is a key of ConfigMap migration-ramp: Drills, by the command drill. Each replica
// follows it.
const DrillsKey = "drills.json"

// MaxDrill is how long a drill may take. A replica begins none that ends later than that,
// so that a wrong clock keeps nobody from new.
const MaxDrill = 5 * time.Minute

// DrillReason is how the reason of a service begins that has fallen back for a drill. No
// other reason begins so.
const DrillReason = "drill by "

// Drills has the newest drill of each service.
type Drills struct {
	Services map[string]Drill `json:"services"`
}

// Drill is a rehearsed fallback: until a time, each replica sends all requests to old.
type Drill struct {
	ID    string    `json:"id"` // another one is another drill
	By    string    `json:"by"`
	At    time.Time `json:"at"`
	Until time.Time `json:"until"`
	// Result is what was measured, in words; "" before the end.
	Result string `json:"result,omitempty"`
}

// Runs tells whether the drill is under way.
func (d Drill) Runs(now time.Time) bool {
	return now.Before(d.Until) && d.Until.Sub(now) <= MaxDrill
}

// Reason is the reason of the service meanwhile.
func (d Drill) Reason() string {
	return DrillReason + strings.ToValidUTF8(fmt.Sprintf("%.60s", d.By), "") + " until " + d.Until.UTC().Format(time.TimeOnly)
}

// InDrill tells whether a service has fallen back for a drill.
func (s Service) InDrill() bool {
	return s.Phase == FallenBack && strings.HasPrefix(s.Reason, DrillReason)
}

// ParseDrills reads the data of ConfigMap migration-ramp.
func ParseDrills(data map[string]string) (Drills, error) {
	return parse[Drills](data, DrillsKey)
}

// WithDrill is the content of DrillsKey with one more drill.
func WithDrill(data map[string]string, service string, drill Drill) (string, error) {
	drills, err := ParseDrills(data)
	if err != nil {
		return "", err
	}
	if drills.Services == nil {
		drills.Services = map[string]Drill{}
	}
	drills.Services[service] = drill
	return text(drills, "write the drill")
}
