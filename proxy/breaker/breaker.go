package breaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/health"
)

// Options are a Guard's parts; all are required.
type Options struct {
	StateFile string
	// Verdict hears the phase of a service whenever it changes, once for each
	// service of a new table, and in New for each that the state file knows: so
	// it stays fallen back from the first request on. It must not block.
	Verdict func(service migration.Name, phase status.Phase, reason string)
	Health  *health.Checker
	// Broken hears of each answer that broke off after it had begun, of either
	// side, for the metrics. It must not block.
	Broken func(service migration.Name, side migration.Side, failure fallback.Failure, now time.Time)
	// Addresses gives where a backend is now: for the probes, and to know it by.
	Addresses func(migration.Backend) []netip.AddrPort
	Log       *slog.Logger
}

// Guard watches over all services. Its methods may be called from any
// goroutine.
type Breaker struct {
	options Options

	mu      sync.Mutex
	table   *migration.Table // the last of SetTable
	watched map[migration.Name]*watched
	stored  map[migration.Name]fallback.State // until the first table
	saved   []byte                            // what the state file says
	counts  counts
}

// watched is one service under guard.
type watched struct {
	machine *fallback.Machine
	config  fallback.Config
	pending pending
}

// New reads the state file. What cannot be read is reported, and forgotten.
func New(options Options) *Breaker {
	g := &Breaker{options: options, watched: map[migration.Name]*watched{}, counts: counts{}}
	var err error
	if g.stored, g.saved, err = load(options.StateFile); err != nil {
		options.Log.Error("fallbacks of before the restart are forgotten, in part at least", "error", err)
	}
	for name, state := range g.stored {
		g.tell(name, state)
	}
	return g
}

// configOf is what a service's machine needs to know of it.
func configOf(s *migration.Service) fallback.Config {
	return fallback.Config{
		Idle:         !s.Enabled || s.EffectiveShare() == 0 && s.Mode != migration.ModeCanary && len(s.RulesTo(migration.New)) == 0,
		Enabled:      s.Fallback.Enabled,
		MaxFailures:  s.Fallback.MaxFailures,
		Window:       s.Fallback.Window,
		RecoveryTime: s.Fallback.RecoveryTime,
		Ratio:        s.Fallback.FailureRatio,
		OnStatus:     s.Fallback.OnStatus,
		Probed:       s.HealthCheck != nil,
	}
}

// SetTable puts the services of a table under guard, which is the one in
// force. A service that it does not name is forgotten, with its fallback.
func (g *Breaker) SetTable(table *migration.Table, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table = table
	before := g.watched
	g.watched = make(map[migration.Name]*watched, len(table.Services()))
	var targets []health.Target
	services := table.Services()
	for i := range services {
		s := &services[i]
		targets = append(targets, health.For(s, g.options.Addresses)...)
		if known := before[s.Name]; known != nil {
			g.watched[s.Name] = known
			known.config = configOf(s)
			g.heed(s.Name, known, known.machine.Configure(known.config, now))
			continue
		}
		g.watched[s.Name] = g.begin(s, now)
	}
	g.stored = nil
	g.store()
	g.options.Health.Set(targets)
}

// begin takes a service up where a state file left it.
func (g *Breaker) begin(s *migration.Service, now time.Time) *watched {
	config := configOf(s)
	w := &watched{config: config, machine: fallback.New(config, g.stored[s.Name])}
	w.machine.Tick(fallback.Probes{}, now)
	g.tell(s.Name, w.machine.State())
	return w
}

// Urgent takes the line of a failure, as soon as nginx has it.
func (g *Breaker) Urgent(event *accesslog.Event, now time.Time) { g.request(event, true, now) }

// Batch takes every line.
func (g *Breaker) Batch(event *accesslog.Event, now time.Time) { g.request(event, false, now) }

// request counts a request to new, and each failure once: see the package
// comment.
func (g *Breaker) request(event *accesslog.Event, urgent bool, now time.Time) {
	if event.New.Tries == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.watched[migration.Name(event.Service)]
	if w == nil {
		return
	}
	outcome := event.New.Outcome()
	failure, _ := fallback.Judge(outcome, w.config.OnStatus)
	atOnce := w.config.Ratio == 0 && failure != fallback.NoFailure
	if atOnce != urgent {
		return
	}
	g.heed(migration.Name(event.Service), w, w.machine.Request(outcome, event.RequestID, now))
}

// heed acts on a transition: first it is written down, then it is told, and
// then there is time for the log, whose reader may be slow.
func (g *Breaker) heed(name migration.Name, w *watched, t fallback.Transition) {
	if !t.Happened() {
		return
	}
	g.counts.add(name, t.Cause)
	g.store()
	g.tell(name, w.machine.State())
	g.options.Log.Warn("fallback", "service", name, "from", t.From, "to", t.To, "because", t.Reason())
}

func (g *Breaker) store() {
	if err := g.save(); err != nil {
		g.options.Log.Error("a restart will not know how the fallbacks stand now", "error", err)
	}
}

// tell gives the agent a service's phase.
func (g *Breaker) tell(name migration.Name, state fallback.State) {
	reason := ""
	if state.Phase != status.Migrating {
		reason = until(state)
	}
	g.options.Verdict(name, state.Phase, reason)
}

func until(state fallback.State) string {
	if state.Until.IsZero() {
		return state.Reason()
	}
	return fmt.Sprintf("%s; until %s at least", state.Reason(), state.Until.Format(time.TimeOnly))
}

// Command trips a service or clears it by hand. An error says that there is
// no such service, or nothing to do.
func (g *Breaker) Command(name migration.Name, command fallback.Command, by string, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := g.watched[name]
	if w == nil {
		return fmt.Errorf("there is no service %q", name)
	}
	t := w.machine.Command(command, by, now)
	if !t.Happened() {
		state := w.machine.State()
		return fmt.Errorf("service %s: nothing to %s: it is %s, enabled %t", name, command, state.Phase, !w.config.Idle)
	}
	g.heed(name, w, t)
	return nil
}

// tickEvery is how often deadlines are looked at.
const tickEvery = time.Second

// Run lets time pass until ctx ends.
func (g *Breaker) Run(ctx context.Context) {
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			g.tick(now)
		}
	}
}

func (g *Breaker) tick(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, w := range g.watched {
		g.ripen(name, w, now)
		g.options.Health.Demand(name, w.machine.State().WantsProbes(now))
		g.heed(name, w, w.machine.Tick(g.options.Health.Probes(name), now))
	}
}

// Probed hears that the verdict of a probe has changed.
func (g *Breaker) Probed(key health.Key) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if w := g.watched[key.Service]; w != nil {
		g.heed(key.Service, w, w.machine.Tick(g.options.Health.Probes(key.Service), time.Now()))
	}
}
