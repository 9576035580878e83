package e2e

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestLeaderKilledMidChange kills the leader during a series of edits. Another replica
// takes over and loses neither the edits nor the fallback state.
func TestLeaderKilledMidChange(t *testing.T) {
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Ingress("fallen", withPath("/", "fallen."+s.Host))
	s.Configure(1)
	s.ConfigureAs(s.Service+"-fallen", s.TextOf(s.Service+"-fallen", "fallen."+s.Host, 50,
		"fallback: {max_failures: 3, failure_window: 30, recovery_time: 3}", "health_check: {path: /, interval: 1s}"))
	s.OptIn("shop")
	s.OptIn("fallen")
	s.WaitForPhase("shop", migrating)
	s.WaitForPhase("fallen", migrating)
	s.Fail(world.New, wire.Outage{Mode: wire.Status, Status: 503})
	s.WaitForPhase("fallen", fallenBack)
	stream := s.Stream(world.Host("fallen." + s.Host))

	leader := waitForLeader(t, "")
	for percent := 2; percent <= 20; percent++ {
		require.NoError(t, s.EditConfig(t.Context(), replacing(
			fmt.Sprintf("percentage: %d  # of %s\n", percent-1, s.Service), fmt.Sprintf("percentage: %d  # of %s\n", percent, s.Service))))
		if percent == 10 {
			cluster.Kill(t, leader)
		}
	}
	t.Logf("the leader was %s, and is %s", leader, waitForLeader(t, leader))
	s.WaitForShare("shop", 20)
	require.NoError(t, world.InPhase(fallenBack)(s.GetIngress("fallen")), "the new leader keeps the fallback")

	s.Fail(world.New, wire.Outage{})
	s.WaitForPhase("fallen", migrating)
	stream.StopWithoutLoss()
}

// waitForLeader waits until another Pod than before is the leader.
func waitForLeader(t *testing.T, before string) string {
	t.Helper()
	leader := ""
	world.Eventually(t, "a leader other than "+before, func(ctx context.Context) error {
		var err error
		leader, err = cluster.Leader(ctx)
		if err == nil && (leader == "" || leader == before) {
			err = fmt.Errorf("it is %q", leader)
		}
		return err
	})
	return leader
}
