package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// Options configure Start. The zero value starts etcd and kube-apiserver on 127.0.0.1,
// which is enough for tests of API clients.
type Options struct {
	// Dir is for data, keys, the kubeconfig and logs. Empty: a temporary folder, which
	// Stop removes, or the next Start if this process was killed.
	Dir string
	// Address is the address of the API server, which it also advertises. Zero:
	// 127.0.0.1, which cannot be in an EndpointSlice; see localcluster.Isolate.
	Address netip.Addr
	// ControllerManager also starts kube-controller-manager: Deployments,
	// EndpointSlices, garbage collection, namespace deletion, Jobs. Without it the
	// ClusterRoles view, edit and admin are empty, and the service account of a Pod
	// need not exist.
	ControllerManager bool
	// CertManager also installs cert-manager's CRDs and runs its controllers
	// and its CA injector (without its webhook).
	CertManager bool
}

// ControlPlane is a running control plane.
type ControlPlane struct {
	options    Options
	temporary  *os.File // the lock of options.Dir, if that is a temporary folder
	authority  *testbed.Authority
	server     netip.AddrPort // of the API server
	admin      *rest.Config
	kubeconfig string
	etcd       *process // etcd
	apiserver  *process
	clients    []*process // clients of the API server, in the order of their start
}

// Start starts the programs of the options and waits until they are ready (4 s, with
// controllers 8 s). An error has the end of the log of the program that failed.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c := &ControlPlane{options: o}
	for _, step := range []func(context.Context) error{
		c.prepare, c.makeKeys, c.startEtcd, c.startAPIServer, c.startControllers, c.startCertManager,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start a control plane: %w", err), c.Stop())
		}
	}
	return c, nil
}

// prepare creates the folder.
func (c *ControlPlane) prepare(context.Context) error {
	if !c.options.Address.IsValid() {
		c.options.Address = loopback
	}
	if c.options.Dir == "" {
		var err error
		if c.temporary, err = newFolder(); err != nil {
			return err
		}
		c.options.Dir = c.temporary.Name()
	}
	return os.MkdirAll(c.options.Dir, 0o755)
}

// Server is the address of the API server.
func (c *ControlPlane) Server() netip.AddrPort { return c.server }

// StopAPIServer kills the API server, as in an outage. Data and address stay.
func (c *ControlPlane) StopAPIServer() error {
	c.apiserver.kill()
	return nil
}

// Stop kills all programs and removes the folder if it is a temporary one.
func (c *ControlPlane) Stop() error {
	for _, client := range slices.Backward(c.clients) {
		client.kill()
	}
	c.apiserver.kill()
	c.etcd.kill()
	if c.temporary == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(c.options.Dir), c.temporary.Close())
}
