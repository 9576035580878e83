package positions

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// firstAnswerTimeout is how long a proxy that starts waits for the positions before it
// serves what it knows.
const firstAnswerTimeout = 3 * time.Second

// Agent limits shares by positions; *proxy.Agent implements it.
type Agent interface {
	// SetPositions replaces all positions. It must not block.
	SetPositions(positions map[migration.Name]migration.Share)
}

// Counters count slow answers; *accesslog.Counters implements it.
type Counters interface {
	SetSlow(service migration.Name, old, new time.Duration)
}

// Drills send all requests to old for a time; *breaker.Breaker implements it.
type Drills interface {
	SetDrills(drills map[string]status.Drill, now time.Time)
}

// Source is where positions come from.
type Source interface {
	// Run calls receive with each version, or with the reason why there is none, until
	// ctx ends.
	Run(ctx context.Context, receive func(status.Positions, error)) error
}

// Options are the parts of a Follower.
type Options struct {
	Source   Source // nil: Set is called by others
	Agent    Agent
	Counters Counters
	Drills   Drills // gets the drills of the source; nil: nobody
	File     string // written, and read after a restart
	Log      *slog.Logger
}

// Follower hands positions on. Its methods may be called from any goroutine.
type Follower struct {
	options Options

	mu      sync.Mutex
	served  map[string]status.Position // what the agent has
	latest  map[string]status.Position // the last version; it may name services before the table does
	written map[string]status.Position // the content of the file
	known   bool                       // there is something better to wait for no longer
}

// New reads the file and hands its positions to the agent. A file that cannot be read
// is logged and forgotten.
func New(options Options) *Follower {
	f := &Follower{options: options, latest: map[string]status.Position{}, served: map[string]status.Position{}}
	text, err := os.ReadFile(options.File)
	if err != nil {
		return f
	}
	stored, err := status.ParsePositions(map[string]string{status.PositionsKey: string(text)})
	if err != nil {
		options.Log.Error("stored positions of ramps not read, these services begin at 0", "file", options.File, "error", err)
		return f
	}
	f.known = true
	f.take(stored.Services)
	f.written = maps.Clone(f.served)
	f.apply()
	return f
}

// Run follows the source until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	if f.options.Source == nil {
		f.setKnown()
		<-ctx.Done()
		return nil
	}
	timer := time.AfterFunc(firstAnswerTimeout, f.setKnown)
	defer timer.Stop()
	return f.options.Source.Run(ctx, func(version status.Positions, err error) {
		defer f.setKnown()
		if err != nil {
			f.options.Log.Error("positions of ramps not read, they stay as they are", "error", err)
			return
		}
		f.Set(version)
		if f.options.Drills != nil {
			f.options.Drills.SetDrills(version.Drills, time.Now())
		}
	})
}

// Set takes a version.
func (f *Follower) Set(version status.Positions) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latest = version.Services
	f.take(version.Services)
	f.apply()
}

// SetTable forgets the positions of services without a ramp in the table in force, and
// tells the counters the bounds of services that are new there.
func (f *Follower) SetTable(table *migration.Table) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.served, func(name string, _ status.Position) bool {
		s := table.Service(migration.Name(name))
		_, coming := f.latest[name]
		return !coming && (s == nil || s.Ramp == nil)
	})
	f.apply()
}

// Known reports whether the positions are known, or nobody waits for them any more. A
// replica that takes traffic before sends too little of it to new for a moment.
func (f *Follower) Known() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known
}

func (f *Follower) setKnown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.known = true
}

// take keeps the positions that are percentages.
func (f *Follower) take(version map[string]status.Position) {
	for name, position := range version {
		if !(position.Share >= 0 && position.Share <= 100) {
			f.options.Log.Error("position of a ramp is no percentage, the one before stays", "service", name, "position", position.Share)
			continue
		}
		f.served[name] = position
	}
}

// apply writes the file and tells the others. The file is first: a restarted agent
// must not fall behind what it has served.
func (f *Follower) apply() {
	f.write()
	shares := make(map[migration.Name]migration.Share, len(f.served))
	for name, position := range f.served {
		shares[migration.Name(name)] = migration.ShareOf(position.Share)
		f.options.Counters.SetSlow(migration.Name(name), seconds(position.SlowOld), seconds(position.SlowNew))
	}
	f.options.Agent.SetPositions(shares)
}

func (f *Follower) write() {
	if maps.Equal(f.served, f.written) {
		return
	}
	text, err := json.Marshal(status.Positions{Services: f.served})
	if err == nil {
		err = atomicfile.Write(f.options.File, text, 0o600)
	}
	if err != nil {
		f.options.Log.Error("positions of ramps not written, a restart would not know them", "error", fmt.Errorf("write positions: %w", err))
		return
	}
	f.written = maps.Clone(f.served)
}

func seconds(s float64) time.Duration {
	if !(s > 0) {
		return 0
	}
	return time.Duration(min(s, 86400) * float64(time.Second))
}
