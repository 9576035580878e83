package ramps

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// Goal is what Wait waits for.
type Goal struct {
	service migration.Name
	step    migration.Share // 0: the end of the ramp
}

// ParseGoal reads a service's name, and "done" or "step=25".
func ParseGoal(service, text string) (Goal, error) {
	name, err := migration.ParseName(service)
	if err != nil {
		return Goal{}, err
	}
	if text == "done" {
		return Goal{service: name}, nil
	}
	step, found := strings.CutPrefix(text, "step=")
	share, err := migration.ParseShare(strings.TrimSuffix(step, "%"))
	if !found || err != nil || share == 0 {
		return Goal{}, fmt.Errorf("--for %q: use done, or step=25 for a position of at least 25 %%", text)
	}
	return Goal{name, share}, nil
}

// String is the goal in words.
func (g Goal) String() string {
	if g.step == 0 {
		return "the end of its ramp"
	}
	return g.step.String() + " %"
}

// reachedBy tells whether every replica serves the goal.
func (g Goal) reachedBy(row rampview.Row) bool {
	if g.step == 0 {
		return row.Phase == ramp.Done
	}
	return row.State.Position >= g.step && row.Phase != ramp.Off && row.Phase != ramp.Returning && !row.State.Settling
}

// Wait waits until the ramp of a service has reached the goal. It prints each change.
func Wait(ctx context.Context, w io.Writer, from Source, goal Goal, pace waiting.Pace) error {
	reached := reached{w: w, from: from, goal: goal, timeout: pace.Timeout}
	return waiting.Until(ctx, &reached, pace)
}

// reached is the condition that a ramp is at the goal.
type reached struct {
	w       io.Writer
	from    Source
	goal    Goal
	timeout time.Duration // for the message only
	printed string        // of the last change
}

func (r *reached) Check(ctx context.Context) error {
	now, err := snapshotOf(ctx, r.from)
	if err != nil {
		return err
	}
	row, err := now.row(r.goal.service)
	if err != nil {
		return err
	}
	if change := row.Where() + row.What(); change != r.printed {
		r.printed = change
		if _, err := fmt.Fprintf(r.w, "%s %s\n", time.Now().UTC().Format("15:04:05Z07:00"), row); err != nil {
			return waiting.FinalError{Cause: err}
		}
	}
	steps := row.Config.Ramp.Steps
	last := steps[len(steps)-1].To
	switch {
	case r.goal.reachedBy(row):
		return nil
	case r.goal.step > last:
		return waiting.FinalError{Cause: fmt.Errorf("the ramp of %s ends at %s %%, and never reaches %s", r.goal.service, last, r.goal)}
	}
	return fmt.Errorf("%s has not reached %s within %s; it is %s", r.goal.service, r.goal, r.timeout, row)
}
