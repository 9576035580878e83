package breaker

import (
	"maps"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// SetDrills takes the newest drill of each service. A service whose drill is under way sends
// everything to old, until the time that the drill names. What the circuit breaker decides
// meanwhile counts afterwards.
func (b *Breaker) SetDrills(drills map[string]status.Drill, now time.Time) {
	running := map[migration.Name]status.Drill{}
	for name, drill := range drills {
		if drill.Runs(now) {
			running[migration.Name(name)] = drill
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drill(running)
}

// endDrills ends those whose time is over.
func (b *Breaker) endDrills(now time.Time) {
	if len(b.drills) == 0 {
		return
	}
	running := maps.Clone(b.drills)
	maps.DeleteFunc(running, func(_ migration.Name, drill status.Drill) bool { return !drill.Runs(now) })
	b.drill(running)
}

// drill replaces the drills that are under way.
func (b *Breaker) drill(running map[migration.Name]status.Drill) {
	before := b.drills
	b.drills = running
	for name, drill := range running {
		if s := b.services[name]; s != nil && before[name] != drill {
			b.setPhase(name, s.machine.State())
			b.options.Log.Warn("drill begins, all requests go to old", "service", name, "by", drill.By, "until", drill.Until)
		}
	}
	for name := range before {
		if _, still := running[name]; still {
			continue
		}
		if s := b.services[name]; s != nil {
			b.setPhase(name, s.machine.State())
			b.options.Log.Info("drill ends", "service", name)
		}
	}
}
