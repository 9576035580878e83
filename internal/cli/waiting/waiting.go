// Package waiting waits for a condition of a cluster, for the commands of the command line.
package waiting

import (
	"context"
	"errors"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
)

// Condition is what a command waits for.
type Condition interface {
	// Check asks once. nil: the condition holds. A FinalError or a missing right: it
	// will not hold. Any other error: not yet.
	Check(context.Context) error
}

// FinalError ends the waiting.
type FinalError struct{ Cause error }

// Error is that of the cause.
func (e FinalError) Error() string { return e.Cause.Error() }

// Unwrap gives the cause.
func (e FinalError) Unwrap() error { return e.Cause }

// Pace is how long to wait, and how often to look.
type Pace struct{ Interval, Timeout time.Duration }

// Until checks the condition every interval. After the timeout, the error is that of
// the last check that was not cut short.
func Until(ctx context.Context, c Condition, pace Pace) error {
	ctx, cancel := context.WithTimeout(ctx, pace.Timeout)
	defer cancel()
	tick := time.NewTicker(pace.Interval)
	defer tick.Stop()
	last := errors.New("nobody answered in time")
	for {
		err := c.Check(ctx)
		if err == nil || IsFinal(err) {
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

// IsFinal tells whether an error ends the waiting.
func IsFinal(err error) bool {
	return errors.As(err, new(FinalError)) || errors.As(err, new(installation.MissingRightError))
}
