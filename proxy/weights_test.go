package proxy

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

func TestWeightDuringAChange(t *testing.T) {
	t.Parallel()
	loop := newAgentLoop(nil, nil, nil)
	base := service(t, "api", 2000, "10.0.0.1:80", "10.0.0.2:80")
	withBackend3 := func(share migration.Share, enabled bool) migration.Service {
		s := service(t, "api", share, "10.0.0.1:80", "10.0.0.3:80")
		s.Enabled = enabled
		return s
	}
	for name, c := range map[string]struct {
		wanted migration.Service
		want   weights.State
	}{
		"more":      {withBackend3(5000, true), weights.State{Share: 2000, Enabled: true}},
		"less":      {withBackend3(1000, true), weights.State{Share: 1000, Enabled: true}},
		"off":       {withBackend3(5000, false), weights.State{}},
		"unchanged": {withBackend3(2000, true), weights.State{Share: 2000, Enabled: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, weightDuringChange(loop.weight(&base), loop.weight(&c.wanted)))
		})
	}
	off, on := withBackend3(2000, false), withBackend3(2000, true)
	during := func(phase status.Phase) weights.State {
		loop := newAgentLoop(nil, nil, nil)
		loop.fallbacks["api"] = fallbackState{phase: phase}
		return weightDuringChange(loop.weight(&off), loop.weight(&on))
	}
	require.False(t, during(status.Migrating).Enabled, "not before the other backend is in force")
	require.True(t, during(status.FallenBack).Tripped)
	require.False(t, during(status.Recovering).Tripped, "a trial with traffic")
}

// ramped is a service with a ramp.
func (r *rig) ramped(ceiling migration.Share) migration.Service {
	s := r.service("api", ceiling)
	s.Ramp = &migration.Ramp{Steps: []migration.RampStep{{To: full}}}
	return s
}

func (r *rig) waitForShare(percent float64) status.Service {
	r.t.Helper()
	now := r.waitFor("share", func(s status.Status) bool { return s.Services[0].Share == percent })
	return now.Services[0]
}

// TestPositions: the share is the smaller one of percentage and position, whatever comes
// first, and what its user says wins at once.
func TestPositions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.ramped(full))
	require.Equal(t, &status.Ramp{Ceiling: 100}, r.waitForShare(0).Ramp, "a position that nobody knows is 0")
	require.Equal(t, "old", r.get("api"))
	r.SetPositions(map[migration.Name]migration.Share{"api": full})
	r.waitForSide("api", "new")
	require.Equal(t, &status.Ramp{Ceiling: 100, Position: 100}, r.waitForShare(100).Ramp)

	r.apply(r.ramped(0))
	require.Equal(t, "old", r.get("api"), "percentage 0")
	require.Equal(t, &status.Ramp{Position: 100}, r.waitForShare(0).Ramp)
	off := r.ramped(full)
	off.Enabled = false
	r.apply(off)
	require.Equal(t, "old", r.get("api"), "disabled")
	r.SetPositions(map[migration.Name]migration.Share{"api": full / 2})
	r.apply(r.ramped(full / 4))
	r.waitForShare(25)
	r.SetFallback("api", status.FallenBack, "test")
	r.waitForSide("api", "old")
	r.SetFallback("api", status.Migrating, "")

	advise := r.ramped(full)
	advise.Ramp.Advise = true
	r.apply(advise)
	r.waitForSide("api", "new")
	r.SetPositions(nil)
	r.apply(r.ramped(full))
	r.waitForSide("api", "old")
	r.apply(r.service("api", full))
	r.waitForSide("api", "new")
	require.Nil(t, r.waitForShare(100).Ramp)
	require.Zero(t, r.Status().Nginx.Reloads-1, "one reload brought the service")
}

// TestPositionsUnderLoad: 300 positions lose no request, reload nothing and start no
// worker.
func TestPositionsUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.ramped(full))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reports := make(chan *testbed.Report, 1)
	go func() {
		report, err := testbed.Load{
			URL: "http://" + r.params.Listen.String(), Host: "api.old.test", Method: "POST", Body: "pay", Connections: 8, Duration: time.Minute,
		}.Run(ctx)
		if err != nil {
			t.Error(err)
		}
		reports <- report
	}()
	workers, reloads := r.workers(), r.Status().Nginx.Reloads
	for i := range 300 {
		position := migration.Share(1000 * (i % 10))
		r.SetPositions(map[migration.Name]migration.Share{"api": position})
		r.waitForShare(position.Percent())
	}
	stop()
	report := <-reports
	require.Equal(t, workers, r.workers())
	require.Equal(t, reloads, r.Status().Nginx.Reloads)
	require.Zero(t, report.Lost())
	require.Greater(t, report.Sent, 500)
}
