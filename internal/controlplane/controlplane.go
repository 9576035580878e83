package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// Options says what Start starts. The zero value is etcd and kube-apiserver
// on 127.0.0.1, for tests of what talks to the API.
type Options struct {
	// Dir gets data, keys, the kubeconfig and the programs' logs. Empty: a
	// temporary folder, removed by Stop.
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
	temporary  bool // options.Dir is ours to remove
	authority  *authority
	server     netip.AddrPort // the API server's
	store      netip.AddrPort // etcd's
	admin      *rest.Config
	apiserver  *process
	others     []*process // in the order of their start
	kubeconfig string
}

// Start starts what the options say and waits until it serves (4 s, with
// controllers 8 s). An error has the end of the log of what failed.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	c := &ControlPlane{options: o}
	for _, step := range []func(context.Context) error{
		c.prepare, c.identify, c.startStore, c.StartAPIServer, c.startControllers, c.startCertManager,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("start a control plane: %w", err), c.Stop())
		}
	}
	return c, nil
}

// prepare makes the folder and chooses the addresses.
func (c *ControlPlane) prepare(context.Context) error {
	if !c.options.Address.IsValid() {
		c.options.Address = loopback
	}
	if c.options.Dir == "" {
		dir, err := os.MkdirTemp("", "controlplane-")
		if err != nil {
			return err
		}
		c.options.Dir, c.temporary = dir, true
	}
	if err := os.MkdirAll(c.options.Dir, 0o755); err != nil {
		return err
	}
	server, err := testbed.FreePort()
	if err != nil {
		return err
	}
	store, err := testbed.FreePort()
	c.server = netip.AddrPortFrom(c.options.Address, uint16(server))
	c.store = netip.AddrPortFrom(loopback, uint16(store))
	return err
}

// Server is where the API server listens.
func (c *ControlPlane) Server() netip.AddrPort { return c.server }

func (c *ControlPlane) startStore(ctx context.Context) error {
	peers, err := testbed.FreePort()
	if err != nil {
		return err
	}
	clients, peer := "http://"+c.store.String(), "http://127.0.0.1:"+strconv.Itoa(peers)
	store, err := launch(c.options.Dir, "etcd", "--data-dir", filepath.Join(c.options.Dir, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default="+peer)
	if err != nil {
		return err
	}
	c.others = append(c.others, store)
	return nil // kube-apiserver waits for it
}

// StopAPIServer ends the API server, as an outage does; data and address stay.
func (c *ControlPlane) StopAPIServer() error {
	c.apiserver.kill()
	return nil
}

// Stop ends all programs and removes the folder, if it was a temporary one.
func (c *ControlPlane) Stop() error {
	for i := len(c.others) - 1; i > 0; i-- {
		c.others[i].kill()
	}
	c.apiserver.kill()
	if len(c.others) > 0 {
		c.others[0].kill()
	}
	if !c.temporary {
		return nil
	}
	return os.RemoveAll(c.options.Dir)
}
