package clusterramp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/pause"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

const (
	// interval is the time between two ticks: the length of a slot.
	interval = 10 * time.Second
	// saveInterval is how often evidence is stored that led to no transition. A
	// new leader that lacks the last of it only measures a little longer.
	saveInterval = 30 * time.Second
	// checkTimeout bounds one request to an address of ramp.check.
	checkTimeout = 5 * time.Second

	subject = "migration-ramp" // of the failure log
)

// Controller moves the positions of the services with a ramp. In each tick it asks
// the replicas for evidence, makes one ramp.Step for each service, and writes
// migration-ramp; what could not be written did not happen. One goroutine uses it.
type Controller struct {
	options  Options
	meter    leader.Meter
	reporter reporter

	loaded    bool
	states    map[string]ramp.State
	decisions map[string]ramp.Decision // the last ones
	positions status.Positions         // as written
	savedAt   time.Time
}

// New makes a Controller, whose work is done by Run.
func New(options Options) *Controller {
	options.Interval = cmp.Or(options.Interval, interval)
	options.Checks = cmp.Or(options.Checks, leader.NewChecks(checkTimeout))
	c := &Controller{options: options}
	c.reporter = reporter{options, &c.meter}
	return c
}

// Run ticks until ctx ends.
func (c *Controller) Run(ctx context.Context) {
	defer c.options.Metrics.values.Store(nil)
	for {
		c.tick(ctx, time.Now())
		if !pause.For(ctx, c.options.Interval) {
			return
		}
	}
}

func (c *Controller) tick(ctx context.Context, now time.Time) {
	desired := c.options.Desired.Load()
	version, known := c.options.Store.get()
	if !known || desired == nil || desired.Table == nil {
		return
	}
	ramps := withRamp(desired.Table)
	if version == nil && len(ramps) == 0 {
		return
	}
	var data map[string]string
	if version != nil {
		data = version.Data
	}
	if !c.loaded {
		c.load(data, desired)
	}
	if len(ramps) > 0 {
		c.meter.Take(meteredReplicas(kube.FetchEvidence(ctx, c.options.Endpoints(), c.options.Evidence)), now)
		c.options.Checks.Ask(ctx, desired.Table.Services(), now)
	}
	if ctx.Err() != nil {
		return // the replicas and addresses did not answer because the watcher ends
	}
	results := c.step(desired, c.commands(data), now)
	c.finish(ctx, desired, results, now)
}

func meteredReplicas(answers []kube.Answer[status.Evidence]) []leader.Replica {
	replicas := make([]leader.Replica, len(answers))
	for i, a := range answers {
		replicas[i] = leader.Replica{Name: a.Pod, Address: a.Address, Ready: a.Ready, Evidence: a.Document, Err: a.Err}
	}
	return replicas
}

func withRamp(table *migration.Table) []*migration.Service {
	var found []*migration.Service
	rows := table.Services()
	for i := range rows {
		if rows[i].Ramp != nil {
			found = append(found, &rows[i])
		}
	}
	return found
}

// load continues from what the last leader wrote. A state that cannot be read begins
// at 0, which an Event says.
func (c *Controller) load(data map[string]string, desired *desiredstate.State) {
	c.loaded = true
	states, err := ramp.DecodeStates[string](data[status.MachineKey])
	positions, positionsErr := status.ParsePositions(data)
	if err = errors.Join(err, positionsErr); err != nil {
		c.options.Log.Warn("stored ramps are not readable, they begin at 0", "configmap", c.options.Store.String(), "error", err)
		c.reporter.event(desired, events.RampStateLost, "ramps begin at 0: "+err.Error())
	}
	c.states, c.positions, c.decisions = states, positions, map[string]ramp.Decision{}
}

// commands are those that people typed.
func (c *Controller) commands(data map[string]string) status.Commands {
	commands, err := status.ParseCommands(data)
	if err != nil {
		c.options.Log.Warn("commands of ramps are not readable", "configmap", c.options.Store.String(), "error", err)
	}
	return commands
}

// step makes one step of each ramp.
func (c *Controller) step(desired *desiredstate.State, commands status.Commands, now time.Time) map[string]stepResult {
	results := map[string]stepResult{}
	for _, s := range withRamp(desired.Table) {
		name := string(s.Name)
		before, known := c.states[name]
		if !known && s.EffectiveShare() > 0 && c.meter.Serves(s.Name) {
			c.reporter.event(desired, events.RampStateLost, "service "+name+": where its ramp was is not known, so it begins at 0")
		}
		sample := c.sample(desired, s, before.Position, now)
		sample.Command = leader.Command(commands, s.Name)
		after, decision := ramp.Step(ramp.ConfigOf(desired.Table, s), before, sample, now)
		results[name] = stepResult{after, decision}
	}
	return results
}

func (c *Controller) sample(desired *desiredstate.State, s *migration.Service, position migration.Share, now time.Time) ramp.Sample {
	name := string(s.Name)
	sample := ramp.Sample{
		Slot:       c.meter.Slot(s.Name),
		Unserved:   c.meter.Unserved(s.Name, s.ShareAt(position), now),
		FallenBack: desired.Cluster.Services[name].Phase == status.FallenBack && !c.inDrill(name, now),
		Gates:      c.gates(s),
		Limits:     map[migration.Name]migration.Share{},
	}
	sample.Slot.Timed = c.positions.Services[name].SlowOld > 0
	for _, other := range s.Ramp.NotAheadOf {
		sample.Limits[other] = c.inForce(desired, other)
	}
	return sample
}

// drillGrace is how long after a drill its fallback may last: the watcher sees each replica
// return, and then puts the Ingresses back.
const drillGrace = time.Minute

// inDrill tells whether the fallback of a service is one that people rehearse. It takes
// nothing from the position.
func (c *Controller) inDrill(name string, now time.Time) bool {
	drills, err := c.options.Store.Drills()
	drill, ok := drills[name]
	return err == nil && ok && !now.Before(drill.At) && now.Before(drill.Until.Add(drillGrace))
}

// gates are what forbids a step up, other than the evidence.
func (c *Controller) gates(s *migration.Service) []ramp.Gate {
	gates := append(c.options.Checks.Gates(s.Ramp), c.meter.Parity(s)...)
	if deviating := c.options.Deviating.Load(); deviating != nil && (*deviating)[string(s.Name)] != "" {
		gates = append(gates, ramp.Gate{Reason: ramp.ReasonUnobserved, Detail: (*deviating)[string(s.Name)]})
	}
	return gates
}

// inForce is the share that another service has now.
func (c *Controller) inForce(desired *desiredstate.State, name migration.Name) migration.Share {
	s := desired.Table.Service(name)
	if s == nil || desired.Cluster.Services[string(name)].Phase != status.Migrating {
		return 0
	}
	return s.ShareAt(c.states[string(name)].Position)
}

// finish writes the results if they must be written now, and believes them then. What
// only grew the evidence is believed without a write.
func (c *Controller) finish(ctx context.Context, desired *desiredstate.State, results map[string]stepResult, now time.Time) {
	positions := c.positionsAfter(desired, results)
	due := now.Sub(c.savedAt) >= saveInterval && len(results) > 0
	if due || !maps.Equal(positions.Services, c.positions.Services) || c.moved(results) {
		err := c.save(ctx, positions, results)
		if ctx.Err() != nil {
			return
		}
		c.options.Failures.Report(subject, err)
		if err != nil {
			c.believe(desired, onlyEvidence(results))
			c.options.Metrics.publish(c.options.Desired.Load().Table, c.decisions)
			return
		}
		c.savedAt, c.positions = now, positions
	}
	c.forget(results)
	c.believe(desired, results)
	c.options.Metrics.publish(c.options.Desired.Load().Table, c.decisions)
}

// onlyEvidence leaves out what must be written before it happens.
func onlyEvidence(results map[string]stepResult) map[string]stepResult {
	kept := map[string]stepResult{}
	for name, result := range results {
		if d := result.decision; !d.Transition && d.Command == nil {
			kept[name] = result
		}
	}
	return kept
}

func (c *Controller) moved(results map[string]stepResult) bool {
	return len(onlyEvidence(results)) < len(results)
}

// forget drops the states of services that have no ramp any more.
func (c *Controller) forget(results map[string]stepResult) {
	maps.DeleteFunc(c.states, func(name string, _ ramp.State) bool { _, ok := results[name]; return !ok })
	maps.DeleteFunc(c.decisions, func(name string, _ ramp.Decision) bool { _, ok := results[name]; return !ok })
}

func (c *Controller) believe(desired *desiredstate.State, results map[string]stepResult) {
	for _, name := range slices.Sorted(maps.Keys(results)) {
		result := results[name]
		c.states[name], c.decisions[name] = result.state, result.decision
		c.reporter.report(desired, name, result)
	}
}

func (c *Controller) save(ctx context.Context, positions status.Positions, results map[string]stepResult) error {
	states := map[string]ramp.State{}
	for name, result := range results {
		states[name] = result.state
	}
	machine, err := ramp.EncodeStates(states)
	if err != nil {
		return fmt.Errorf("write the states of the ramps: %w", err)
	}
	text, err := json.Marshal(positions)
	if err != nil {
		return fmt.Errorf("write the positions of the ramps: %w", err)
	}
	return c.options.Store.write(ctx, string(text), machine)
}

// positionsAfter are the positions with the bounds above which answers are slow.
func (c *Controller) positionsAfter(desired *desiredstate.State, results map[string]stepResult) status.Positions {
	positions := status.Positions{Services: map[string]status.Position{}}
	for name, result := range results {
		s := desired.Table.Service(migration.Name(name))
		positions.Services[name] = c.meter.Position(s, result.state.Position, c.positions.Services[name])
	}
	return positions
}
