package localcluster

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/migration-proxy/migration-proxy/e2e/podrunner"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// WorldOptions says what NewWorld starts.
type WorldOptions struct {
	// Dir gets data, keys, the kubeconfig and logs. Empty: memory that is gone
	// with the world.
	Dir string
	// Images are the programs that run for an image: name as in the Pod, with
	// the tag, or without for all tags -> path of a binary on this machine.
	Images map[string]string
	// CertManager starts cert-manager, too.
	CertManager bool
	// Log gets what the node does; nil: nothing.
	Log *slog.Logger
}

// World is a cluster with one node: control plane, controllers and a node
// that runs Pods as processes (see podrunner for what it does not do).
type World struct {
	*controlplane.ControlPlane
	runner *podrunner.Runner
}

// NewWorld starts a world and waits until a Pod can run in it. It only works
// inside Isolate.
func NewWorld(ctx context.Context, o WorldOptions) (*World, error) {
	if !isolated() {
		return nil, errors.New("start a world: call it inside localcluster.Isolate, which must come first in main or TestMain")
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(scratch, "world")
	}
	plane, err := controlplane.Start(ctx, controlplane.Options{
		Dir: o.Dir, Address: Network.Addr(), ControllerManager: true, CertManager: o.CertManager,
	})
	if err != nil {
		return nil, err
	}
	runner, err := podrunner.Start(ctx, podrunner.Options{
		Config: plane.Config(), Node: "node-1", Dir: filepath.Join(o.Dir, "node"), Images: o.Images,
		Bridge: bridge, Network: Network, Services: netip.MustParsePrefix(controlplane.ServiceRange),
		APIServer: plane.Server(), Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, plane.Stop())
	}
	return &World{ControlPlane: plane, runner: runner}, nil
}

// Logs is the folder of the containers' output: NAMESPACE_POD_CONTAINER.log.
func (w *World) Logs() string { return w.runner.Logs() }

// Signal sends a signal to a container's first process: SIGKILL is a crash,
// SIGSTOP a hang.
func (w *World) Signal(namespace, pod, container string, signal os.Signal) error {
	return w.runner.Signal(namespace, pod, container, signal)
}

// Close ends Pods (killed, not asked), controllers and the control plane.
func (w *World) Close() error {
	return errors.Join(w.runner.Stop(), w.Stop())
}
