package update

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// change is a goal with the edit that leads to it.
type change struct {
	goal   Goal
	before []byte            // the text as it was read
	after  []byte            // the text to write
	digest string            // of the table that the text after loads to
	was    migration.Service // the service in the text before
	is     migration.Service // the service in the text after
}

// plan computes the change and writes nothing. Name is what messages call the
// text.
func plan(goal Goal, name string, text []byte) (change, error) {
	edit, err := goal.edit(name, text)
	if err != nil {
		return change{}, err
	}
	return change{
		goal: goal, before: text, after: edit.Text, digest: edit.After.Digest(),
		was: *edit.Before.Service(goal.service), is: *edit.After.Service(goal.service),
	}, nil
}

// isDone tells whether the text already has the value.
func (c change) isDone() bool { return bytes.Equal(c.before, c.after) }

// String is "api-name01: 20 % -> 50 %", or "api-name01: off -> on (20 %)".
func (c change) String() string {
	return fmt.Sprintf("%s: %s -> %s", c.goal.service, c.goal.text(c.was), c.goal.text(c.is))
}

// deviationNote is a line that says that the share was not what was wanted before
// the change, or is not now, for a reason that a change of the share does not mend; ""
// if it is.
func deviationNote(row status.Service, now time.Time) string {
	if deviation := row.Deviation(now); deviation != "" {
		return fmt.Sprintf("note: the share is not what it should be: %s\n", deviation)
	}
	return ""
}

// note is a line on what keeps the change from having the effect that the user
// expects; "" when nothing does. Now is the status of the service, as far as it
// is known.
func (c change) note(now status.Service) string {
	toNew, name := c.goal.movesToNew(), c.goal.service
	rules := c.is.RulesTo(migration.New)
	switch {
	case toNew && !c.is.Enabled:
		return fmt.Sprintf("note: all goes to old, for the service is off; 'migration-proxy update %s on' ends that\n", name)
	case toNew && now.Phase.WorseThan(status.Migrating):
		return fmt.Sprintf("note: the service is %s: %s\n", now.Phase, now.Reason)
	case toNew && c.is.Share > 0 && c.is.EffectiveShare() == 0:
		return fmt.Sprintf("note: the percentage moves nobody, for the strategy is %s: only rules send requests to new\n", c.is.Strategy)
	case toNew && c.is.Ramp != nil && !c.is.Ramp.Advise && (now.Ramp == nil || now.Share < c.is.Share.Percent()):
		return fmt.Sprintf("note: the percentage is the ceiling of a ramp, which goes there step by step%s; 'migration-proxy ramp %s skip' takes the next step now\n", rampAt(now), name)
	case c.is.Enabled && c.is.Share == 0 && len(rules) > 0:
		return fmt.Sprintf("note: %s come before the percentage and send requests to new; 'migration-proxy update %s off' sends all to old\n",
			strings.Join(rules, ", "), name)
	}
	return ""
}

// rampAt is where the ramp is, if that is known.
func rampAt(now status.Service) string {
	if now.Ramp == nil {
		return ""
	}
	return fmt.Sprintf(" and is at %g %%", now.Ramp.Position)
}
