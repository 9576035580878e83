package health

import (
	"errors"
	"fmt"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

// result is what the probes of one target have shown.
type result struct {
	Health fallback.Health
	// Streak is how many probes in a row ended like the last one: positive for
	// successes, negative for failures.
	Streak int
	// LastFailure is how the last probe failed; "" after a success.
	LastFailure fallback.Failure
	// LastError is why the last probe failed or could not be made; "" after a
	// success.
	LastError string
}

// down reports whether the target is unhealthy because it does not even accept
// connections. A status, a slow answer or a certificate may be the fault of
// the probe (old may lack the health path of new), and down holds back trips.
func (r result) down() bool {
	return r.Health == fallback.Unhealthy && r.LastFailure == fallback.FailureConnect
}

// failedProbe is a probe that the other side failed.
type failedProbe struct {
	kind fallback.Failure
	err  error
}

// Error implements error.
func (f *failedProbe) Error() string { return fmt.Sprintf("%s: %v", f.kind, f.err) }

// Unwrap gives the cause, for errors.Is.
func (f *failedProbe) Unwrap() error { return f.err }

// add adds the result of a probe and reports whether Health changed. An error that is not a *failedProbe says nothing about the other
// side.
func (r *result) add(err error, check migration.HealthCheck) bool {
	r.LastError = ""
	if err != nil {
		r.LastError = err.Error()
	}
	var failure *failedProbe
	switch {
	case err == nil:
		r.Streak, r.LastFailure = max(r.Streak, 0)+1, fallback.NoFailure
		return r.setHealth(fallback.Healthy, r.Streak >= check.Healthy)
	case errors.As(err, &failure):
		r.Streak, r.LastFailure = min(r.Streak, 0)-1, failure.kind
		return r.setHealth(fallback.Unhealthy, -r.Streak >= check.Unhealthy)
	}
	return false
}

func (r *result) setHealth(health fallback.Health, reached bool) bool {
	if !reached || r.Health == health {
		return false
	}
	r.Health = health
	return true
}
