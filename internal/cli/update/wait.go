package update

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// condition is what an update waits for.
type condition interface {
	// check asks once. nil: the condition holds. A finalError or a missing
	// right: it will not hold. Any other error: not yet.
	check(context.Context) error
}

// finalError ends the waiting: the change will not be served.
type finalError struct{ error }

// Unwrap gives the cause.
func (e finalError) Unwrap() error { return e.error }

// waitFor checks the condition every interval. After the timeout, the error is
// that of the last check that was not cut short.
func waitFor(ctx context.Context, c condition, interval, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	last := errors.New("nobody answered in time")
	for {
		err := c.check(ctx)
		if err == nil || isFinal(err) {
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

func isFinal(err error) bool {
	return errors.As(err, new(finalError)) || errors.As(err, new(installation.MissingRightError))
}

// isNewRejection tells whether a config was rejected after the change was
// written: earlier is the rejection that was known before it.
func isNewRejection(now, earlier *status.Rejected) bool {
	return now != nil && (earlier == nil || !now.At.Equal(earlier.At))
}

// rejection says who rejected the config, and why.
func rejection(replica string, rejected *status.Rejected) error {
	return fmt.Errorf("%s rejected it (%s):\n%s", replica, rejected.Stage, strings.Join(rejected.Problems, "\n"))
}
