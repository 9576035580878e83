package e2e

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// cluster is the cluster of all scenarios.
var cluster *world.Cluster

// parallelScenarios is more than the number of CPUs, because scenarios mostly wait.
const parallelScenarios = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", parallelScenarios) // the flag is known
	}
	os.Exit(world.Main(nil, func(c *world.Cluster) int {
		cluster = c
		return m.Run()
	}))
}

// The phases of an Ingress, as the documentation gives them.
const (
	migrating  = "Migrating"
	fallenBack = "FallenBack"
	bypassed   = "Bypassed"
)

// cleanup is a test during its cleanup, when the test's own context has ended.
type cleanup struct{ *testing.T }

func (cleanup) Context() context.Context { return context.Background() }

// Others need what a scenario takes away, whatever becomes of it.

// restoreScale sets a Deployment to two replicas at the end of the scenario, or when
// the function is called. Other scenarios need them.
func restoreScale(t *testing.T, deployment string) (back func()) {
	t.Helper()
	t.Cleanup(func() { cluster.Scale(cleanup{t}, deployment, 2) })
	return func() { cluster.Scale(t, deployment, 2) }
}

// scaleToZero removes a Deployment's Pods until then.
func scaleToZero(t *testing.T, deployment string) (back func()) {
	t.Helper()
	back = restoreScale(t, deployment)
	cluster.Scale(t, deployment, 0)
	return back
}

// reinstallOnFailure installs the chart again if the scenario fails.
func reinstallOnFailure(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			cluster.Reinstall(cleanup{t})
		}
	})
}

// long tells whether the scenarios take the time that the figures need.
func long() bool { return os.Getenv("MIGRATION_PROXY_E2E_LONG") != "" }

// shortOrLong gives the second duration in a long run.
func shortOrLong(short, extended time.Duration) time.Duration {
	if long() {
		return extended
	}
	return short
}
