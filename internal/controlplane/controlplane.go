package controlplane

import (
	"context"
	"errors"
	"net/netip"

	"k8s.io/client-go/rest"
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
	// EndpointSlices, garbage collection, namespace deletion, Jobs. Only with
	// it do Pods need a service account that exists.
	ControllerManager bool
	// CertManager also installs cert-manager's CRDs and runs its controllers
	// and its CA injector (without its webhook).
	CertManager bool
}

// ControlPlane is a control plane that runs.
type ControlPlane struct{}

// Start starts what the options say and waits until it serves (3 to 10 s). An
// error names the program and where its log is.
func Start(ctx context.Context, o Options) (*ControlPlane, error) {
	return nil, errors.New("not yet")
}

// Config is the administrator's; a copy, to be changed at will.
func (c *ControlPlane) Config() *rest.Config { return nil }

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *ControlPlane) Kubeconfig() string { return "" }

// User gives the client configuration of a user with a certificate; RBAC
// decides what it may do (nothing, until a binding says so).
func (c *ControlPlane) User(name string, groups ...string) (*rest.Config, error) {
	return nil, errors.New("not yet")
}

// ServiceAccount gives the client configuration of that account, which must
// exist, with a token of one hour. The API server sees it as
// system:serviceaccount:NAMESPACE:NAME.
func (c *ControlPlane) ServiceAccount(ctx context.Context, namespace, name string) (*rest.Config, error) {
	return nil, errors.New("not yet")
}

// Namespace creates a namespace with a name that nothing else has, so that
// tests that run at the same time do not meet.
func (c *ControlPlane) Namespace(ctx context.Context, prefix string) (string, error) {
	return "", errors.New("not yet")
}

// StopAPIServer ends the API server, as an outage does; data and address stay.
func (c *ControlPlane) StopAPIServer() error { return errors.New("not yet") }

// StartAPIServer brings it back, on the same address with the same data, and
// waits until it serves.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error { return errors.New("not yet") }

// Stop ends all programs and removes the temporary folder, if it was one.
func (c *ControlPlane) Stop() error { return nil }
