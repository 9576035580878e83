package controlplane

import (
	"context"
	"errors"
	"log/slog"
	"os"
)

// WorldOptions says what NewWorld starts.
type WorldOptions struct {
	// Dir gets data, keys, the kubeconfig and logs. Empty: a temporary
	// folder, removed by Close.
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
	*ControlPlane
}

// NewWorld starts a world and waits until a Pod can run in it. It only works
// inside Isolate.
func NewWorld(ctx context.Context, o WorldOptions) (*World, error) { return nil, errors.New("not yet") }

// Logs is the folder of the containers' output: NAMESPACE_POD_CONTAINER.log.
func (w *World) Logs() string { return "" }

// Signal sends a signal to a container's first process: SIGKILL is a crash,
// SIGSTOP a hang.
func (w *World) Signal(namespace, pod, container string, signal os.Signal) error {
	return errors.New("not yet")
}

// Close ends Pods (killed, not asked), controllers and the control plane.
func (w *World) Close() error { return nil }
