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

// long tells whether to take the time that the figures need.
func long() bool { return os.Getenv("MIGRATION_PROXY_E2E_LONG") != "" }

// either gives the second value in a long run.
func either(short, extended time.Duration) time.Duration {
	if long() {
		return extended
	}
	return short
}
