package faults

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
)

// program is the path of the binary under test.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mp-faults-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if program, err = proxyprocess.Build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// They wait for faults to pass more than they compute.
	if err := flag.Set("test.parallel", "5"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := results.write(os.Getenv("MIGRATION_PROXY_FAULTS_TABLE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// long tells whether each fault lasts minutes instead of seconds.
func long() bool { return os.Getenv("MIGRATION_PROXY_FAULTS") == "long" }

// shortOrLong gives the second duration in a long run.
func shortOrLong(short, otherwise time.Duration) time.Duration {
	if long() {
		return otherwise
	}
	return short
}
