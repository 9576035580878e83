package e2e

import (
	"context"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// cluster is where all scenarios play.
var cluster *world.Cluster

// scenarios that wait most of the time: more of them than there are CPUs.
const atATime = "6"

func TestMain(m *testing.M) {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", atATime) // the flag is known
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

// cleanup is a test in its cleanup, when its own context has ended.
type cleanup struct{ *testing.T }

func (cleanup) Context() context.Context { return context.Background() }

// Others need what a scenario takes away, whatever becomes of it.

// scaledBack gives a Deployment its two replicas when the scenario ends, or
// when the function is called.
func scaledBack(t *testing.T, deployment string) (back func()) {
	t.Helper()
	t.Cleanup(func() { cluster.Scale(cleanup{t}, deployment, 2) })
	return func() { cluster.Scale(t, deployment, 2) }
}

// scaledTo0 takes a Deployment's Pods away until then.
func scaledTo0(t *testing.T, deployment string) (back func()) {
	t.Helper()
	back = scaledBack(t, deployment)
	cluster.Scale(t, deployment, 0)
	return back
}

// reinstalled has the chart in place when the scenario ends: either the
// scenario itself did it, or it has failed.
func reinstalled(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if t.Failed() {
			cluster.Reinstall(cleanup{t})
		}
	})
}

// long tells whether to take the time that the figures need.
func long() bool { return os.Getenv("MIGRATION_PROXY_E2E_LONG") != "" }

// either gives the second value in a long run.
func either(short, extended time.Duration) time.Duration {
	if long() {
		return extended
	}
	return short
}
