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

// Options configure Start.
type Options struct {
	// Dir is for data, keys, the kubeconfig and logs. Empty: a folder in memory that
	// ends with the cluster.
	Dir string
	// Images has the path of a binary for each image. The key is the name in the Pod,
	// with its tag, or without a tag for all tags.
	Images map[string]string
	// CertManager also starts cert-manager.
	CertManager bool
	// Log is the log of the node; nil: no log.
	Log *slog.Logger
}

// Cluster is a control plane with controllers and one node that runs Pods as
// processes. Package podrunner says what that node does not implement.
type Cluster struct {
	*controlplane.ControlPlane
	kubelet *podrunner.Kubelet
}

// Start starts a cluster and waits until a Pod can run in it. It works only inside
// Isolate.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if !isolated() {
		return nil, errors.New("start a cluster: call it inside localcluster.Isolate, which must come first in main or TestMain")
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(scratch, "cluster")
	}
	plane, err := controlplane.Start(ctx, controlplane.Options{
		Dir: o.Dir, Address: Network.Addr(), ControllerManager: true, CertManager: o.CertManager,
	})
	if err != nil {
		return nil, err
	}
	kubelet, err := podrunner.Start(ctx, podrunner.Options{
		Config: plane.Config(), Node: "node-1", Dir: filepath.Join(o.Dir, "node"), Images: o.Images,
		Bridge: bridge, Network: Network, Services: netip.MustParsePrefix(controlplane.ServiceRange),
		APIServer: plane.Server(), Log: o.Log,
	})
	if err != nil {
		return nil, errors.Join(err, plane.Stop())
	}
	return &Cluster{ControlPlane: plane, kubelet: kubelet}, nil
}

// Logs is the folder of the container logs, NAMESPACE_POD_CONTAINER.log.
func (c *Cluster) Logs() string { return c.kubelet.Logs() }

// Signal sends a signal to the first process of a container: SIGKILL is a crash,
// SIGSTOP a hang.
func (c *Cluster) Signal(namespace, pod, container string, signal os.Signal) error {
	return c.kubelet.Signal(namespace, pod, container, signal)
}

// Close kills all Pods and ends controllers and control plane.
func (c *Cluster) Close() error {
	return errors.Join(c.kubelet.Stop(), c.Stop())
}
