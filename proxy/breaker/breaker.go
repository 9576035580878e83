package breaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/beat"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/health"
)

// Agent directs the traffic. *proxy.Agent implements it.
type Agent interface {
	// SetFallback puts the phase of a service in force. It must not block.
	SetFallback(service migration.Name, phase status.Phase, reason string)
	// Addresses gives the current addresses of a backend. It must not block.
	Addresses(backend migration.Backend) []netip.AddrPort
	// Files gives the copies of certificate files that nginx reads.
	health.Files
}

// Options are the parts of a Breaker; all but Roots are required.
type Options struct {
	// StateFile is the path of the file that holds the states over a restart.
	StateFile string
	Agent     Agent
	// Counters count the answers that broke off.
	Counters *accesslog.Counters
	// Roots is a PEM file of the root certificates that nginx trusts; "" for
	// the system's.
	Roots string
	Log   *slog.Logger
}

// Breaker is the circuit breaker of all services. Its methods may be called
// from any goroutine.
type Breaker struct {
	options Options
	checker *health.Checker

	mu       sync.Mutex
	table    *migration.Table // the last one of SetTable
	services map[migration.Name]*service
	stored   map[migration.Name]fallback.State // of the state file; nil after the first table
	written  []byte                            // content of the state file
	counts   transitionCounts
	drills   map[migration.Name]status.Drill // under way
}

// service is one service of the table.
type service struct {
	name    migration.Name
	machine *fallback.Machine
	config  fallback.Config
	timeout time.Duration // until an answer of new begins
	pending pendingAnswers
	refused refusedUploads
}

// New reads the state file and calls Agent.SetFallback for each service that
// it names, so that a service stays fallen back from the first request on. A
// state that cannot be read is logged and forgotten.
func New(options Options) *Breaker {
	b := &Breaker{options: options, services: map[migration.Name]*service{}, counts: transitionCounts{}}
	b.checker = health.New(health.Options{Roots: options.Roots, Files: options.Agent, Resolver: options.Agent, Observer: b})
	var err error
	if b.stored, b.written, err = readStates(options.StateFile); err != nil {
		options.Log.Error("stored fallback states not read, these services start as Migrating", "error", err)
	}
	for name, state := range b.stored {
		b.setPhase(name, state)
	}
	return b
}

// configOf gives the part of a service's config that its machine uses.
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

// SetTable takes over the services of the table that is in force. A service
// that the table does not name is forgotten, with its fallback.
func (b *Breaker) SetTable(table *migration.Table, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table = table
	previous := b.services
	rows := table.Services()
	b.services = make(map[migration.Name]*service, len(rows))
	var targets []health.Target
	for i := range rows {
		row := &rows[i]
		targets = append(targets, health.TargetsOf(row)...)
		s := previous[row.Name]
		if s == nil {
			b.services[row.Name] = b.addService(row, now)
			continue
		}
		b.services[row.Name] = s
		s.config, s.timeout = configOf(row), row.Timeout
		b.apply(s, s.machine.Configure(s.config, now))
	}
	b.stored = nil
	b.writeStates()
	b.checker.SetTargets(targets)
}

// addService continues where the state file left the service.
func (b *Breaker) addService(row *migration.Service, now time.Time) *service {
	config := configOf(row)
	s := &service{name: row.Name, config: config, timeout: row.Timeout, machine: fallback.New(config, b.stored[row.Name])}
	s.machine.Tick(fallback.Probes{}, now)
	b.setPhase(s.name, s.machine.State())
	return s
}

// ObserveFailure takes a line that nginx sent at once.
func (b *Breaker) ObserveFailure(event *accesslog.Event, now time.Time) { b.observe(event, true, now) }

// ObserveRequest takes a line of the access log, which has every request.
func (b *Breaker) ObserveRequest(event *accesslog.Event, now time.Time) { b.observe(event, false, now) }

// observe counts a request to new. A failure is in both logs and is counted
// once: see the package's documentation.
func (b *Breaker) observe(event *accesslog.Event, urgent bool, now time.Time) {
	if event.New.Status == fallback.StatusLoopDetected || event.Old.Status == fallback.StatusLoopDetected {
		b.observeLoop(event, now)
	}
	if event.New.Status == statusEarlyHints || event.Old.Status == statusEarlyHints {
		b.observeHints(event, now)
	}
	if event.New.Tries == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.services[migration.Name(event.Service)]
	if s == nil {
		return
	}
	if urgent && event.New.RefusedUpload() {
		s.refused.add(event.RequestID, now)
	}
	outcome := event.New.Outcome()
	switch {
	case s.outlasted(event):
		outcome = fallback.Outcome{Finished: true, Failure: fallback.FailureTimeout}
	case event.New.Connected && !event.New.Replied && s.refused.has(event.RequestID):
		outcome.Finished = false // as if the client had left
	}
	failure, _ := fallback.Judge(outcome, s.config.OnStatus)
	if urgent && failure == fallback.NoFailure && isRedirectBack(event) {
		b.observeRedirectBack(s, event, now)
		return
	}
	countedAtOnce := s.config.Ratio == 0 && failure != fallback.NoFailure
	if countedAtOnce != urgent {
		return
	}
	b.apply(s, s.machine.Request(outcome, event.RequestID, now))
}

// outlasted tells whether the client left after it had waited for the timeout, and
// new had not begun to answer. nginx sets no limit where a client asks for a stream, and
// a controller whose timeout is the same gives up a moment earlier.
func (s *service) outlasted(event *accesslog.Event) bool {
	patience := s.timeout - min(s.timeout/10, time.Second)
	return !event.New.Finished() && !event.New.Replied && event.Old.Tries == 0 && event.New.Latency >= patience
}

// apply carries out a transition: the state file is written first, then the
// agent is called, then the log, whose reader may be slow.
func (b *Breaker) apply(s *service, t fallback.Transition) {
	if !t.Happened() {
		return
	}
	b.counts.add(s.name, t.Cause)
	b.writeStates()
	b.setPhase(s.name, s.machine.State())
	b.options.Log.Warn("fallback transition", "service", s.name, "from", t.From, "to", t.To, "reason", t.Reason())
}

// setPhase puts the phase of a service in force.
func (b *Breaker) setPhase(name migration.Name, state fallback.State) {
	if drill, ok := b.drills[name]; ok {
		b.options.Agent.SetFallback(name, status.FallenBack, drill.Reason())
		return
	}
	if state.Phase == status.Migrating {
		b.options.Agent.SetFallback(name, status.Migrating, "")
		return
	}
	reason := state.Reason()
	if !state.Until.IsZero() {
		reason += "; until " + state.Until.Format(time.TimeOnly) + " at least"
	}
	b.options.Agent.SetFallback(name, state.Phase, reason)
}

// Order is what an operator wants. By is the operator's name, for the evidence.
type Order struct {
	Command fallback.Command
	Service migration.Name
	By      string
}

// Command trips or clears a service for an operator. It fails when there is no such
// service, or nothing to do.
func (b *Breaker) Command(order Order, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.find(order.Service)
	if err != nil {
		return err
	}
	t := s.machine.Command(order.Command, order.By, now)
	if !t.Happened() {
		return s.nothingTo(order.Command)
	}
	b.apply(s, t)
	return nil
}

// Plan says what Command would do, and writes nothing: the transition, and the state of
// the service as the state file would have it.
func (b *Breaker) Plan(order Order, now time.Time) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, err := b.find(order.Service)
	if err != nil {
		return "", err
	}
	machine := fallback.New(s.config, s.machine.State())
	t := machine.Command(order.Command, order.By, now)
	if !t.Happened() {
		return "", s.nothingTo(order.Command)
	}
	state, err := fallback.EncodeState(machine.State())
	return fmt.Sprintf("service %s would go from %s to %s: %s\n%s would have for it: %s", s.name, t.From, t.To, t.Reason(), b.options.StateFile, state), err
}

func (b *Breaker) find(name migration.Name) (*service, error) {
	s := b.services[name]
	if s == nil {
		return nil, fmt.Errorf("there is no service %q", name)
	}
	return s, nil
}

func (s *service) nothingTo(command fallback.Command) error {
	return fmt.Errorf("service %s: nothing to %s: it is %s, enabled %t", s.name, command, s.machine.State().Phase, !s.config.Idle)
}

// tickInterval is how often deadlines are checked.
const tickInterval = time.Second

// Run checks deadlines and probes services until ctx ends.
func (b *Breaker) Run(ctx context.Context) {
	var probing sync.WaitGroup
	defer probing.Wait()
	probing.Go(func() { b.checker.Run(ctx) })
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-beat.After(tickInterval):
			b.tick(now)
		}
	}
}

func (b *Breaker) tick(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endDrills(now)
	for name, s := range b.services {
		b.countPending(s, now)
		s.refused.forget(now)
		b.checker.SetDemand(name, s.machine.State().WantsProbes(now))
		b.apply(s, s.machine.Tick(b.checker.Probes(name), now))
	}
}

// ProbesChanged implements health.Observer.
func (b *Breaker) ProbesChanged(name migration.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.services[name]; s != nil {
		b.apply(s, s.machine.Tick(b.checker.Probes(name), time.Now()))
	}
}
