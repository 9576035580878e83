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

// Options says what Start starts. The zero value is etcd and kube-apiserver
// on 127.0.0.1, for tests of what talks to the API.
type Options struct {
	// Dir gets data, keys, the kubeconfig and the programs' logs. Empty: a
	// temporary folder, removed by Stop, or by the next Start if this process
	// is killed before.
	Dir string
	// Address is where the API server listens, and what it tells others to
	// use. Zero: 127.0.0.1, which no EndpointSlice may contain; see Isolate.
	Address netip.Addr
	// ControllerManager also starts kube-controller-manager: Deployments,
	// EndpointSlices, garbage collection, namespace deletion, Jobs. Without
	// it the ClusterRoles view, edit and admin are empty, and Pods need no
	// service account that exists.
	ControllerManager bool
	// CertManager also installs cert-manager's CRDs and runs its controllers
	// and its CA injector (without its webhook).
	CertManager bool
}

// ControlPlane is a control plane that runs.
type ControlPlane struct {
	options    Options
	temporary  *os.File // the lock of options.Dir, if that is ours to remove
	authority  *testbed.Authority
	server     netip.AddrPort // the API server's
	admin      *rest.Config
	kubeconfig string
	store      *process // etcd
	apiserver  *process
	clients    []*process // of the API server, in the order of their start
}

// Start starts what the options say and waits until it serves (4 s, with
// controllers 8 s). An error has the end of the log of what failed.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c := &ControlPlane{options: o}
	for _, step := range []func(context.Context) error{
		c.prepare, c.makeKeys, c.startStore, c.serve, c.startControllers, c.startCertManager,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start a control plane: %w", err), c.Stop())
		}
	}
	return c, nil
}

// prepare makes the folder.
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

// Server is where the API server listens.
func (c *ControlPlane) Server() netip.AddrPort { return c.server }

// StopAPIServer ends the API server, as an outage does; data and address stay.
func (c *ControlPlane) StopAPIServer() error {
	c.apiserver.kill()
	return nil
}

// Stop ends all programs and removes the folder, if it was a temporary one.
func (c *ControlPlane) Stop() error {
	for _, client := range slices.Backward(c.clients) {
		client.kill()
	}
	c.apiserver.kill()
	c.store.kill()
	if c.temporary == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(c.options.Dir), c.temporary.Close())
}
