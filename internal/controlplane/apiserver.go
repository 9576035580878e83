package controlplane

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// ServiceRange is the range of ClusterIPs.
const ServiceRange = "10.96.0.0/16"

var (
	loopback            = netip.MustParseAddr("127.0.0.1")
	firstServiceAddress = "10.96.0.1" // Service kubernetes
)

// startAPIServer starts the API server on a free port, and on another one if a process
// took the first in the meantime.
func (c *ControlPlane) startAPIServer(ctx context.Context) error {
	err := c.startOnFreePort(ctx)
	if err != nil && strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
		return c.startOnFreePort(ctx)
	}
	return err
}

func (c *ControlPlane) startOnFreePort(ctx context.Context) error {
	port, err := testbed.FreePort()
	if err != nil {
		return err
	}
	c.server = netip.AddrPortFrom(c.options.Address, uint16(port))
	if err := c.createAdmin(); err != nil {
		return err
	}
	return c.StartAPIServer(ctx)
}

// StartAPIServer starts the API server again after StopAPIServer, on the same address
// with the same data, and waits until it is ready.
func (c *ControlPlane) StartAPIServer(ctx context.Context) error {
	server, err := startProgram(c.options.Dir, "kube-apiserver", c.apiserverArguments()...)
	if err != nil {
		return err
	}
	c.apiserver = server
	return server.waitUntilReady(ctx, func(ctx context.Context) error { return readyz(ctx, c.admin) }, c.etcd)
}

func (c *ControlPlane) apiserverArguments() []string {
	file := func(name string) string { return filepath.Join(c.options.Dir, name) }
	arguments := []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=" + c.options.Address.String(),
		"--advertise-address=" + c.options.Address.String(),
		"--secure-port=" + strconv.Itoa(int(c.server.Port())),
		"--tls-cert-file=" + file("server.pem"), "--tls-private-key-file=" + file("server-key.pem"),
		"--client-ca-file=" + file("ca.pem"),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + file("sa.pem"), "--service-account-signing-key-file=" + file("sa-key.pem"),
		"--service-cluster-ip-range=" + ServiceRange,
		"--allow-privileged=true",
		// Webhooks that are Services are called at their endpoints, because the API
		// server cannot reach ClusterIPs.
		"--enable-aggregator-routing=true",
		// The node has only an internal address.
		"--kubelet-preferred-address-types=InternalIP",
	}
	if c.options.Address.IsLoopback() {
		// The reconciler would try to make 127.0.0.1 an endpoint, and log errors.
		arguments = append(arguments, "--endpoint-reconciler-type=none")
	}
	if !c.options.ControllerManager {
		// Without controllers there are no service accounts, without which this plugin
		// refuses Pods.
		arguments = append(arguments, "--disable-admission-plugins=ServiceAccount")
	}
	return arguments
}

func readyz(ctx context.Context, config *rest.Config) error {
	client, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return err
	}
	answer, err := client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("%w: %s", err, answer)
	}
	return nil
}
