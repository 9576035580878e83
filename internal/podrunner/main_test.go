package podrunner_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// image is what Pods of these tests run: this very program.
const image = "example.org/test/server"

var world *controlplane.World

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		os.Exit(serve(os.Args[2:]))
	}
	os.Exit(controlplane.Isolate(func() int { return inWorld(m) }))
}

func inWorld(m *testing.M) int {
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	world, err = controlplane.NewWorld(context.Background(), controlplane.WorldOptions{
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
