package podrunner_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/migration-proxy/migration-proxy/e2e/localcluster"
)

// image is the image of the Pods in these tests: this test program.
const image = "example.org/test/server"

var cluster *localcluster.Cluster

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		os.Exit(serve(os.Args[2:]))
	}
	os.Exit(localcluster.Isolate(func() int { return runTests(m) }))
}

func runTests(m *testing.M) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	cluster, err = localcluster.Start(context.Background(), localcluster.Options{
		Images: map[string]string{image: self},
		Log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	if err := cluster.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}
