package migration_test

import (
	"testing"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// TestEffectiveShare: the effective share agrees with Decide for requests that match
// no rule.
func TestEffectiveShare(t *testing.T) {
	t.Parallel()
	for _, strategy := range []migration.Strategy{migration.StrategyWeight, migration.StrategyUserHash, migration.StrategyHeader, migration.StrategyIP} {
		for _, share := range []migration.Share{0, migration.FullShare} {
			for _, enabled := range []bool{false, true} {
				s := migration.Service{Enabled: enabled, Strategy: strategy, Share: share}
				goes := s.Decide(migration.Request{Dice: "x"}).Side == migration.New
				require.Equal(t, goes, s.EffectiveShare() == migration.FullShare, "%s at %s, enabled %t", strategy, share, enabled)
			}
		}
	}
}

// TestWholeDice: two digits are needed as soon as one share of the service has decimals.
func TestWholeDice(t *testing.T) {
	t.Parallel()
	ramp := func(steps ...migration.RampStep) *migration.Ramp { return &migration.Ramp{Steps: steps} }
	whole, part := migration.RampStep{To: 500}, migration.RampStep{To: 50}
	for _, c := range []struct {
		service migration.Service
		want    bool
	}{
		{migration.Service{Strategy: migration.StrategyWeight, Share: 2000}, true},
		{migration.Service{Strategy: migration.StrategyWeight, Share: 2050}, false},
		{migration.Service{Strategy: migration.StrategyWeight, Share: 2000, Ramp: ramp(whole)}, true},
		{migration.Service{Strategy: migration.StrategyWeight, Share: 2000, Ramp: ramp(part, whole)}, false},
		{migration.Service{Strategy: migration.StrategyWeight, Share: 2000, Ramp: &migration.Ramp{Back: migration.RampBack{By: 50}}}, false},
		{migration.Service{Strategy: migration.StrategyUserHash, Share: 2000}, false},
	} {
		require.Equal(t, c.want, c.service.WholeDice(), "%+v", c.service)
	}
}

// TestShareAtWholePercents: a position that the dice cannot throw is rounded down, so
// that new does not get more than it.
func TestShareAtWholePercents(t *testing.T) {
	t.Parallel()
	s := migration.Service{Enabled: true, Strategy: migration.StrategyWeight, Share: 2000, Ramp: &migration.Ramp{Steps: []migration.RampStep{{To: 1000}}}}
	require.Equal(t, migration.Share(100), s.ShareAt(150))
	require.Equal(t, migration.Share(2000), s.ShareAt(2550))
	require.Equal(t, migration.Share(0), s.ShareAt(99))
	s.Share = 2050
	require.Equal(t, migration.Share(150), s.ShareAt(150))
}

func TestRulesTo(t *testing.T) {
	t.Parallel()
	s := migration.Service{
		HeaderRules: []migration.HeaderRule{{Target: migration.Old}, {Target: migration.New}},
		IPRules:     []migration.IPRule{{Target: migration.New}, {Target: migration.Old}},
	}
	require.Equal(t, []string{"header_rules[1]", "ip_rules[0]"}, s.RulesTo(migration.New))
	require.Equal(t, []string{"header_rules[0]", "ip_rules[1]"}, s.RulesTo(migration.Old))
	require.Empty(t, (&migration.Service{}).RulesTo(migration.New))
}
