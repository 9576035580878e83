package leader

import (
	"fmt"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// paritySamples is how many compared requests ramp.parity needs.
const paritySamples = 30

// Parity is the gate of a service with ramp.parity: all replicas together have compared
// enough requests, and both sides answer alike on enough of them.
func (m *Meter) Parity(s *migration.Service) []ramp.Gate {
	if s.Ramp.Parity == 0 {
		return nil
	}
	samples, same, worst, paused := 0, 0.0, "", ""
	for _, replica := range m.sorted() {
		if replica.latest == nil {
			continue
		}
		c := replica.latest.Services[string(s.Name)].Comparison
		if c != nil && c.Paused != "" {
			paused = "; nothing is compared for some minutes: " + c.Paused
		}
		if c == nil || c.Same == nil {
			continue
		}
		samples += c.Samples
		same += *c.Same * float64(c.Samples)
		if worst == "" && len(c.Findings) > 0 {
			worst = "; " + c.Findings[0]
		}
	}
	switch {
	case samples < paritySamples:
		return []ramp.Gate{{Reason: ramp.ReasonParity, Detail: fmt.Sprintf("%d of %d requests compared%s", samples, paritySamples, paused)}}
	case same/float64(samples) < s.Ramp.Parity.Percent():
		return []ramp.Gate{{Reason: ramp.ReasonParity, Detail: fmt.Sprintf("both sides answer alike on %.2f %% of the requests, not on %s %%%s%s",
			same/float64(samples), s.Ramp.Parity, worst, paused)}}
	}
	return nil
}
