package status

import (
	"math"
	"time"
)

// The keys of ConfigMap migration-ramp. Each has one writer.
const (
	PositionsKey = "positions.json" // Positions, by the watcher; each replica follows it
	MachineKey   = "machine.json"   // the states of the ramps, by the watcher
	CommandsKey  = "commands.json"  // Commands, by the command ramp
)

// Positions has the position of each service with a ramp.
type Positions struct {
	Services map[string]Position `json:"services"`
	// Drills are under another key of the ConfigMap.
	Drills map[string]Drill `json:"-"`
}

// Position is how far the ramp of a service has come.
type Position struct {
	// Share is the position in percent. The service gets the smaller one of it and of
	// the percentage in the config.
	Share float64 `json:"share_percent"`
	// SlowOld and SlowNew are seconds: an answer of old or new that takes longer counts
	// as slow. 0: nothing is known yet, so none counts.
	SlowOld float64 `json:"slow_old_seconds,omitempty"`
	SlowNew float64 `json:"slow_new_seconds,omitempty"`
}

// ParsePositions reads the data of ConfigMap migration-ramp, with its drills. Without
// PositionsKey there are no services.
func ParsePositions(data map[string]string) (Positions, error) {
	positions, err := parse[Positions](data, PositionsKey)
	if err != nil {
		return Positions{}, err
	}
	drills, err := ParseDrills(data)
	if err != nil {
		return Positions{}, err
	}
	positions.Drills = drills.Services
	return positions, nil
}

// Commands has the newest command for each service.
type Commands struct {
	Services map[string]RampCommand `json:"services"`
}

// RampCommand is what a person wants of a ramp.
type RampCommand struct {
	ID     string    `json:"id"`               // another one is another command
	Verb   string    `json:"verb"`             // approve, hold, resume, skip or back
	Share  float64   `json:"share_percent"`    // the position it was typed for
	By     string    `json:"by"`               // who typed it
	Reason string    `json:"reason,omitempty"` // why
	At     time.Time `json:"at"`               // when
}

// ParseCommands reads the data of ConfigMap migration-ramp.
func ParseCommands(data map[string]string) (Commands, error) {
	return parse[Commands](data, CommandsKey)
}

// WithCommand is the content of CommandsKey with one more command.
func WithCommand(data map[string]string, service string, command RampCommand) (string, error) {
	commands, err := ParseCommands(data)
	if err != nil {
		return "", err
	}
	if commands.Services == nil {
		commands.Services = map[string]RampCommand{}
	}
	commands.Services[service] = command
	return text(commands, "write the command")
}

// Evidence is what one replica measured of the services with a ramp: the answer of
// /evidence. Its counters only grow until the agent starts again.
type Evidence struct {
	// StartedAt is when the counters were zero.
	StartedAt time.Time `json:"started_at"`
	// Now is when this was written.
	Now      time.Time                  `json:"now"`
	Services map[string]ServiceEvidence `json:"services"`
}

// ServiceEvidence counts the requests of a service that chance or a hash sent to a
// side. One that began before the present share was in force is counted nowhere.
type ServiceEvidence struct {
	// Share is the percentage in force, 0 while the service is disabled or fallen back.
	Share float64 `json:"share_percent"`
	// Since is when it came in force.
	Since time.Time    `json:"since"`
	Old   EvidenceSide `json:"old"`
	New   EvidenceSide `json:"new"`
	// OldLatency counts old's answers of the last ten minutes by LatencyBin.
	OldLatency []uint64 `json:"old_latency,omitempty"`
	// Comparison is nil unless the config says compare.continuous.
	Comparison *Comparison `json:"comparison,omitempty"`
	// Buckets are those of the users of user_hash; nil for other strategies.
	Buckets *EvidenceBuckets `json:"buckets,omitempty"`
}

// EvidenceSide counts the requests of one side. A request that new failed and old
// answered is a failure of new.
type EvidenceSide struct {
	Requests uint64 `json:"requests"`
	Failed   uint64 `json:"failed"`
	Slow     uint64 `json:"slow"` // slower than the bound of its side in Position
}

// EvidenceBuckets are sets of buckets: bit b%8 of byte b/8 is bucket b.
type EvidenceBuckets struct {
	// Epoch is when the sets were empty: at full five minutes, and when the share
	// changed.
	Epoch  time.Time `json:"epoch"`
	Seen   []byte    `json:"seen"`
	Failed []byte    `json:"failed"`
	Slow   []byte    `json:"slow"`
}

// LatencyBins is how many bins a histogram of latencies has: bin i ends at 1 ms times
// 1.05 to the power of i, and the last one has no end.
const LatencyBins = 256

// latencyGrowth is the ratio of the ends of two bins.
const latencyGrowth = 1.05

// LatencyBin is the bin of a latency in seconds.
func LatencyBin(seconds float64) int {
	if seconds <= 0.001 {
		return 0
	}
	return min(int(math.Ceil(math.Log(seconds*1000)/math.Log(latencyGrowth))), LatencyBins-1)
}

// LatencyEnd is the end of a bin in seconds.
func LatencyEnd(bin int) float64 { return 0.001 * math.Pow(latencyGrowth, float64(bin)) }

// LatencyQuantile is the end of the bin that contains the quantile q, 0 to 1; 0 without
// counts.
func LatencyQuantile(counts []uint64, q float64) float64 {
	var all, below uint64
	for _, n := range counts {
		all += n
	}
	for bin, n := range counts {
		below += n
		if n > 0 && float64(below) >= q*float64(all) {
			return LatencyEnd(bin)
		}
	}
	return 0
}
