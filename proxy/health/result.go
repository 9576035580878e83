package health

import (
	"errors"
	"fmt"
	"time"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// result is what probing one target has shown.
type result struct {
	Health fallback.Health
	Since  time.Time // when Health became what it is; zero while Unknown
	// Streak is how many probes in a row ended like the last one: positive
	// for successes, negative for failures.
	Streak int
	// LastFailure is how the last probe that failed did; empty after a success.
	LastFailure fallback.Failure
	// LastError is why the last probe failed or could not be made; empty
	// after a success.
	LastError string
	LastAt    time.Time // of the last probe's end
}

// Down tells whether nobody is there: unhealthy, as not even a connection is
// made. A status, a slow answer or a certificate may be the probe's fault (old
// need not have new's health path), and trips are held back by this.
func (r result) Down() bool {
	return r.Health == fallback.Unhealthy && r.LastFailure == fallback.FailureConnect
}

// failed is a probe's failure by the other side's doing.
type failed struct {
	kind fallback.Failure
	err  error
}

func (f *failed) Error() string { return fmt.Sprintf("%s: %v", f.kind, f.err) }
func (f *failed) Unwrap() error { return f.err }

// add takes in how a probe ended and tells whether the verdict changed. An
// error that is not failed says nothing about the other side.
func (r *result) add(err error, check migration.HealthCheck, now time.Time) bool {
	r.LastAt, r.LastError = now, ""
	if err != nil {
		r.LastError = err.Error()
	}
	var failure *failed
	switch {
	case err == nil:
		r.Streak, r.LastFailure = max(r.Streak, 0)+1, fallback.NoFailure
		return r.judge(fallback.Healthy, r.Streak >= check.Healthy, now)
	case errors.As(err, &failure):
		r.Streak, r.LastFailure = min(r.Streak, 0)-1, failure.kind
		return r.judge(fallback.Unhealthy, -r.Streak >= check.Unhealthy, now)
	}
	return false
}

func (r *result) judge(verdict fallback.Health, reached bool, now time.Time) bool {
	if !reached || r.Health == verdict {
		return false
	}
	r.Health, r.Since = verdict, now
	return true
}
