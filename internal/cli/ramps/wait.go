package ramps

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
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
func (g Goal) reachedBy(row Row) bool {
	if g.step == 0 {
		return row.Phase == ramp.Done
	}
	return row.state.Position >= g.step && row.Phase != ramp.Off && row.Phase != ramp.Returning && !row.state.Settling
}

// Wait waits until the ramp of a service has reached the goal. It prints each change.
func Wait(ctx context.Context, w io.Writer, from Source, goal Goal, waiting Waiting) error {
	reached := reached{w: w, from: from, goal: goal, timeout: waiting.Timeout}
	return waitFor(ctx, &reached, waiting)
}

// reached is the condition that a ramp is at the goal.
type reached struct {
	w       io.Writer
	from    Source
	goal    Goal
	timeout time.Duration // for the message only
	printed string        // of the last change
}

func (r *reached) check(ctx context.Context) error {
	now, err := look(ctx, r.from)
	if err != nil {
		return err
	}
	row, err := now.row(r.goal.service)
	if err != nil {
		return err
	}
	if change := row.where() + row.what(); change != r.printed {
		r.printed = change
		if _, err := fmt.Fprintf(r.w, "%s %s\n", time.Now().UTC().Format("15:04:05Z07:00"), row); err != nil {
			return finalError{err}
		}
	}
	steps := row.config.Ramp.Steps
	last := steps[len(steps)-1].To
	switch {
	case r.goal.reachedBy(row):
		return nil
	case r.goal.step > last:
		return finalError{fmt.Errorf("the ramp of %s ends at %s %%, and never reaches %s", r.goal.service, last, r.goal)}
	}
	return fmt.Errorf("%s has not reached %s within %s; it is %s", r.goal.service, r.goal, r.timeout, row)
}

// condition is what a command waits for.
type condition interface {
	// check asks once. nil: the condition holds. A finalError or a missing right: it
	// will not hold. Any other error: not yet.
	check(context.Context) error
}

// finalError ends the waiting.
type finalError struct{ error }

// Unwrap gives the cause.
func (e finalError) Unwrap() error { return e.error }

// waitFor checks the condition every interval. After the timeout, the error is that of
// the last check that was not cut short.
func waitFor(ctx context.Context, c condition, waiting Waiting) error {
	ctx, cancel := context.WithTimeout(ctx, waiting.Timeout)
	defer cancel()
	tick := time.NewTicker(waiting.Interval)
	defer tick.Stop()
	last := errors.New("nobody answered in time")
	for {
		err := c.check(ctx)
		if err == nil || errors.As(err, new(finalError)) || errors.As(err, new(installation.MissingRightError)) {
			return err
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
	}
}
