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
