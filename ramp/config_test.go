package ramp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// TestWhatIsMeasured: a setting that no compared request meets, and that is in no sum,
// leaves the evidence as it is; any other one makes it worthless.
func TestWhatIsMeasured(t *testing.T) {
	t.Parallel()
	structure := func(change func(*migration.Service)) string {
		s := migration.Service{
			Name: "shop", OldHost: "shop.example", Enabled: true, Share: 5000, Strategy: migration.StrategyWeight,
			Ramp: rampTo(time.Hour, 500, 5000), Fallback: migration.Fallback{Enabled: true, MaxFailures: 5, OnStatus: []int{503}},
		}
		change(&s)
		table, err := migration.NewTable(migration.Global{}, []migration.Service{s})
		require.NoError(t, err)
		return ramp.ConfigOf(table, table.Service("shop")).Structure
	}
	before := structure(func(*migration.Service) {})
	for name, change := range map[string]func(*migration.Service){
		"percentage":   func(s *migration.Service) { s.Share = 100 },
		"steps":        func(s *migration.Service) { s.Ramp.Steps = s.Ramp.Steps[:1] },
		"min_requests": func(s *migration.Service) { s.Ramp.Judge.MinRequests = 10 },
		"compare":      func(s *migration.Service) { s.Compare = &migration.Compare{Continuous: true} },
		"health_check": func(s *migration.Service) { s.HealthCheck = &migration.HealthCheck{Path: "/health"} },
		"namespaces":   func(s *migration.Service) { s.Namespaces = []string{"gateway"} },
		"max_failures": func(s *migration.Service) { s.Fallback.MaxFailures = 50 },
	} {
		require.Equal(t, before, structure(change), name)
	}
	for name, change := range map[string]func(*migration.Service){
		"new_backend":  func(s *migration.Service) { s.NewBackend = migration.Backend{Host: "new.example"} },
		"strategy":     func(s *migration.Service) { s.Strategy = migration.StrategyUserHash },
		"header_rules": func(s *migration.Service) { s.HeaderRules = []migration.HeaderRule{{Header: "x-beta"}} },
		"timeout":      func(s *migration.Service) { s.Timeout = time.Second },
		"on_status":    func(s *migration.Service) { s.Fallback.OnStatus = []int{500} },
		"tolerate":     func(s *migration.Service) { s.Ramp.Judge.Failures.Tolerate = 2 },
		"allow":        func(s *migration.Service) { s.Ramp.Judge.SlowAllow = time.Second },
	} {
		require.NotEqual(t, before, structure(change), name)
	}
}
