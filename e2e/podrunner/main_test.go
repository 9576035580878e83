package podrunner_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/migration-proxy/migration-proxy/e2e/localcluster"
)

// image is what Pods of these tests run: this very program.
const image = "example.org/test/server"

var world *localcluster.World

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		os.Exit(serve(os.Args[2:]))
	}
	os.Exit(localcluster.Isolate(func() int { return inWorld(m) }))
}

func inWorld(m *testing.M) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	world, err = localcluster.NewWorld(context.Background(), localcluster.WorldOptions{
		Images: map[string]string{image: self},
		Log:    slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := m.Run()
	if err := world.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return status
}
