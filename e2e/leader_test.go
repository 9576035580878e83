package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestLeaderKilledMidChange: another replica leads on, with nothing lost: not
// the edits that came at that moment, and not what had fallen back.
func TestLeaderKilledMidChange(t *testing.T) {
	s := cluster.NewSite(t)
	s.Ingress("shop")
	s.Ingress("fallen", inPath("/", "fallen."+s.Host))
	s.Configure(1)
	s.ConfigureAs(s.Service+"-fallen", s.TextOf(s.Service+"-fallen", "fallen."+s.Host, 50,
		"fallback: {max_failures: 3, failure_window: 30, recovery_time: 3}", "health_check: {path: /, interval: 1s}"))
	s.OptIn("shop")
	s.OptIn("fallen")
	s.AwaitPhase("shop", migrating)
	s.AwaitPhase("fallen", migrating)
	s.Fail(world.New, wire.Outage{Mode: wire.Status, Status: 503})
	s.AwaitPhase("fallen", fallenBack)
	stream := s.Stream(world.Host("fallen." + s.Host))

	leader := awaitLeader(t, "")
	for percent := 2; percent <= 20; percent++ {
		require.NoError(t, s.EditConfig(t.Context(), replacing(
			fmt.Sprintf("percentage: %d  # of %s\n", percent-1, s.Service), fmt.Sprintf("percentage: %d  # of %s\n", percent, s.Service))))
		if percent == 10 {
			cluster.Kill(t, leader)
		}
	}
	t.Logf("the leader was %s, and is %s", leader, awaitLeader(t, leader))
	s.AwaitShare("shop", 20)
	require.NoError(t, world.InPhase(fallenBack)(s.GetIngress("fallen")), "it was not forgotten")

	s.Fail(world.New, wire.Outage{})
	s.AwaitPhase("fallen", migrating)
	stream.StopLossless()
}

// awaitLeader waits until somebody else leads.
func awaitLeader(t *testing.T, before string) string {
	t.Helper()
	leader := ""
	world.Await(t, "a leader other than "+before, func(ctx context.Context) error {
		var err error
		leader, err = cluster.Leader(ctx)
		if err == nil && (leader == "" || leader == before) {
			err = fmt.Errorf("it is %q", leader)
		}
		return err
	})
	return leader
}
