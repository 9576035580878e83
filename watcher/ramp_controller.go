package watcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
	"github.com/migration-proxy/migration-proxy/ramp/leader"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

const (
	// rampInterval is the time between two ticks: the length of a slot.
	rampInterval = 10 * time.Second
	// rampSaveInterval is how often evidence is stored that led to no transition. A
	// new leader that lacks the last of it only measures a little longer.
	rampSaveInterval = 30 * time.Second
	// rampCheckTimeout bounds one request to an address of ramp.check.
	rampCheckTimeout = 5 * time.Second

	rampSubject = "migration-ramp" // of the failure log
)

// rampController moves the positions of the services with a ramp. In each tick it asks
// the replicas for evidence, makes one ramp.Step for each service, and writes
// migration-ramp; what could not be written did not happen. One goroutine uses it.
type rampController struct {
	interval time.Duration
	get      kube.StatusGetter
	stores   *objectStores
	desired  *atomic.Pointer[desiredstate.State]
	store    *rampStore
	journal  *journalWriter
	events   *events.Writer
	failures *kube.FailureLog
	metrics  *metrics
	log      *slog.Logger
	meter    leader.Meter
	checks   *leader.Checks
	// deviating has the services whose observed share is not the wanted one.
	deviating *atomic.Pointer[map[string]string]

	loaded    bool
	states    map[string]ramp.State
	decisions map[string]ramp.Decision // the last ones
	positions status.Positions         // as written
	savedAt   time.Time
}

// run ticks until ctx ends.
func (c *rampController) run(ctx context.Context) {
	defer c.metrics.ramps.Store(nil)
	for {
		c.tick(ctx, time.Now())
		if !sleep(ctx, c.interval) {
			return
		}
	}
}

// rampResult is one service's step, which counts when it is written.
type rampResult struct {
	state    ramp.State
	decision ramp.Decision
}

func (c *rampController) tick(ctx context.Context, now time.Time) {
	desired := c.desired.Load()
	version, known := c.store.get()
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
		endpoints := kube.Endpoints(sortedSlices(c.stores.chartSlices))
		c.meter.Take(meteredReplicas(kube.FetchEvidence(ctx, endpoints, c.get)), now)
		c.checks.Ask(ctx, desired.Table.Services(), now)
	}
	if ctx.Err() != nil {
		return // the replicas and addresses did not answer because the watcher ends
	}
	results := c.step(desired, c.commands(data), now)
	c.finish(ctx, desired, results, now)
}

func meteredReplicas(answers []kube.ReplicaEvidence) []leader.Replica {
	replicas := make([]leader.Replica, len(answers))
	for i, a := range answers {
		replicas[i] = leader.Replica{Name: a.Pod, Address: a.Address, Ready: a.Ready, Evidence: a.Evidence, Err: a.Err}
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
func (c *rampController) load(data map[string]string, desired *desiredstate.State) {
	c.loaded = true
	states, err := ramp.DecodeStates[string](data[status.MachineKey])
	positions, positionsErr := status.ParsePositions(data)
	if err = errors.Join(err, positionsErr); err != nil {
		c.log.Warn("stored ramps are not readable, they begin at 0", "configmap", c.store.source.String(), "error", err)
		c.event(desired, events.RampStateLost, "ramps begin at 0: "+err.Error())
	}
	c.states, c.positions, c.decisions = states, positions, map[string]ramp.Decision{}
}

// commands are those that people typed.
func (c *rampController) commands(data map[string]string) status.Commands {
	commands, err := status.ParseCommands(data)
	if err != nil {
		c.log.Warn("commands of ramps are not readable", "configmap", c.store.source.String(), "error", err)
	}
	return commands
}

// step makes one step of each ramp.
func (c *rampController) step(desired *desiredstate.State, commands status.Commands, now time.Time) map[string]rampResult {
	results := map[string]rampResult{}
	for _, s := range withRamp(desired.Table) {
		name := string(s.Name)
		before, known := c.states[name]
		if !known && s.EffectiveShare() > 0 && c.meter.Serves(s.Name) {
			c.event(desired, events.RampStateLost, "service "+name+": where its ramp was is not known, so it begins at 0")
		}
		sample := c.sample(desired, s, before.Position, now)
		sample.Command = leader.Command(commands, s.Name)
		after, decision := ramp.Step(ramp.ConfigOf(desired.Table, s), before, sample, now)
		results[name] = rampResult{after, decision}
	}
	return results
}

func (c *rampController) sample(desired *desiredstate.State, s *migration.Service, position migration.Share, now time.Time) ramp.Sample {
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
func (c *rampController) inDrill(name string, now time.Time) bool {
	version, _ := c.store.get()
	if version == nil {
		return false
	}
	drills, err := status.ParseDrills(version.Data)
	drill, ok := drills.Services[name]
	return err == nil && ok && !now.Before(drill.At) && now.Before(drill.Until.Add(drillGrace))
}

// gates are what forbids a step up besides the evidence.
func (c *rampController) gates(s *migration.Service) []ramp.Gate {
	gates := append(c.checks.Gates(s.Ramp), c.meter.Parity(s)...)
	if deviating := c.deviating.Load(); deviating != nil && (*deviating)[string(s.Name)] != "" {
		gates = append(gates, ramp.Gate{Reason: ramp.ReasonUnobserved, Detail: (*deviating)[string(s.Name)]})
	}
	return gates
}

// inForce is the share that another service has now.
func (c *rampController) inForce(desired *desiredstate.State, name migration.Name) migration.Share {
	s := desired.Table.Service(name)
	if s == nil || desired.Cluster.Services[string(name)].Phase != status.Migrating {
		return 0
	}
	return s.ShareAt(c.states[string(name)].Position)
}

// finish writes the results if they must be written now, and believes them then. What
// only grew the evidence is believed without a write.
func (c *rampController) finish(ctx context.Context, desired *desiredstate.State, results map[string]rampResult, now time.Time) {
	positions := c.positionsAfter(desired, results)
	due := now.Sub(c.savedAt) >= rampSaveInterval && len(results) > 0
	if due || !maps.Equal(positions.Services, c.positions.Services) || c.moved(results) {
		err := c.save(ctx, positions, results)
		if ctx.Err() != nil {
			return
		}
		c.failures.Report(rampSubject, err)
		if err != nil {
			c.believe(desired, onlyEvidence(results))
			c.publish()
			return
		}
		c.savedAt, c.positions = now, positions
	}
	c.forget(results)
	c.believe(desired, results)
	c.publish()
}

// onlyEvidence leaves out what must be written before it happens.
func onlyEvidence(results map[string]rampResult) map[string]rampResult {
	kept := map[string]rampResult{}
	for name, result := range results {
		if d := result.decision; !d.Transition && d.Command == nil {
			kept[name] = result
		}
	}
	return kept
}

func (c *rampController) moved(results map[string]rampResult) bool {
	return len(onlyEvidence(results)) < len(results)
}

// forget drops the states of services that have no ramp any more.
func (c *rampController) forget(results map[string]rampResult) {
	maps.DeleteFunc(c.states, func(name string, _ ramp.State) bool { _, ok := results[name]; return !ok })
	maps.DeleteFunc(c.decisions, func(name string, _ ramp.Decision) bool { _, ok := results[name]; return !ok })
}

func (c *rampController) believe(desired *desiredstate.State, results map[string]rampResult) {
	for _, name := range slices.Sorted(maps.Keys(results)) {
		result := results[name]
		c.states[name], c.decisions[name] = result.state, result.decision
		c.report(desired, name, result.decision)
	}
}

func (c *rampController) save(ctx context.Context, positions status.Positions, results map[string]rampResult) error {
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
	return c.store.write(ctx, string(text), machine)
}

// positionsAfter are the positions with the bounds above which answers are slow.
func (c *rampController) positionsAfter(desired *desiredstate.State, results map[string]rampResult) status.Positions {
	positions := status.Positions{Services: map[string]status.Position{}}
	for name, result := range results {
		s := desired.Table.Service(migration.Name(name))
		positions.Services[name] = c.meter.Position(s, result.state.Position, c.positions.Services[name])
	}
	return positions
}
