package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// controlPlane is started by the first test that needs it: the others run
// without one.
var controlPlane = sync.OnceValues(func() (*controlplane.ControlPlane, error) {
	return controlplane.Start(context.Background(), controlplane.Options{})
})

// withControlPlane runs tests and then ends the control plane, if one started.
type withControlPlane struct{ tests interface{ Run() int } }

var planeUsed sync.Once

func (w withControlPlane) Run() int {
	code := w.tests.Run()
	used := true
	planeUsed.Do(func() { used = false })
	if !used {
		return code
	}
	if plane, err := controlPlane(); err == nil {
		if err := plane.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the control plane:", err)
			return 1
		}
	}
	return code
}

// site is an installation in a namespace of its own, on the real API server.
// Its replicas are processes of this machine; that they are endpoints is
// written by hand, since there is no node.
type site struct {
	plane     *controlplane.ControlPlane
	client    kubernetes.Interface
	namespace string
	dir       string
	address   netip.Addr // of this machine: the API server proxies to no loopback
	replicas  map[string]*replicaProcess
}

type replicaProcess struct {
	listen, http string
	cmd          *exec.Cmd
	ended        chan struct{}
	log          string
}

func newSite(ctx context.Context) (*site, error) {
	planeUsed.Do(func() {})
	plane, err := controlPlane()
	if err != nil {
		return nil, err
	}
	config := plane.Config()
	config.QPS = -1
	s := &site{plane: plane, replicas: map[string]*replicaProcess{}}
	if s.client, err = kubernetes.NewForConfig(config); err != nil {
		return nil, err
	}
	if s.namespace, err = plane.Namespace(ctx, "site"); err != nil {
		return nil, err
	}
	if s.address, err = machineAddress(); err != nil {
		return nil, err
	}
	s.dir, err = os.MkdirTemp("", "mp") // short: a unix socket goes there
	return s, errors.Join(err, os.Chmod(s.dir, 0o755))
}

// testSite is newSite for one test, which is skipped where none can be; it
// ends with the test, whose log then has what the replicas said.
func testSite(t *testing.T) *site {
	t.Helper()
	s, err := newSite(t.Context())
	if errors.Is(err, errNoAddress) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { t.Log(s.close()) })
	return s
}

var errNoAddress = errors.New("this machine has no address but loopback")

func machineAddress() (netip.Addr, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if err == nil && prefix.Addr().Is4() && prefix.Addr().IsGlobalUnicast() {
			return prefix.Addr(), nil
		}
	}
	return netip.Addr{}, errNoAddress
}

// replica starts one and makes it an endpoint.
func (s *site) replica(ctx context.Context, name string) (*replicaProcess, error) {
	port, err := testbed.FreePort()
	if err != nil {
		return nil, err
	}
	r := &replicaProcess{http: netip.AddrPortFrom(s.address, uint16(port)).String()}
	if r.listen, err = freeAddress(); err != nil {
		return nil, err
	}
	s.replicas[name] = r
	return r, errors.Join(s.start(name), s.publish(ctx, name, int32(port)))
}

func freeAddress() (string, error) {
	port, err := testbed.FreePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// start runs the process of a replica; the runtime directory is kept from its
// life before.
func (s *site) start(name string) error {
	r := s.replicas[name]
	listenNew, err := freeAddress()
	if err != nil {
		return err
	}
	r.log = filepath.Join(s.dir, name+".log")
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	r.cmd = exec.Command("migration-proxy", "run", "--listen", r.listen, "--listen-new", listenNew, "--http", r.http,
		"--runtime-dir", filepath.Join(s.dir, name), "--access-log", "off", "--workers", "1", "--nginx", testbed.Nginx())
	r.cmd.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig(), "MIGRATION_PROXY_NAMESPACE="+s.namespace)
	r.cmd.Stdout, r.cmd.Stderr = log, log
	if err := r.cmd.Start(); err != nil {
		return err
	}
	r.ended = make(chan struct{})
	go func() {
		defer close(r.ended)
		_ = r.cmd.Wait() // its log says why
	}()
	return nil
}

func (s *site) publish(ctx context.Context, name string, port int32) error {
	pods := s.client.CoreV1().Pods(s.namespace)
	pod, err := pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "proxy", Image: "migration-proxy"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	pod.Status.Phase, pod.Status.PodIP = corev1.PodRunning, s.address.String()
	pod.Status.PodIPs = []corev1.PodIP{{IP: pod.Status.PodIP}}
	if _, err := pods.UpdateStatus(ctx, pod, metav1.UpdateOptions{}); err != nil {
		return err
	}
	_, err = s.client.DiscoveryV1().EndpointSlices(s.namespace).Create(ctx, &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: names.ProxyService}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new(names.PortStatus), Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{
			Addresses: []string{s.address.String()}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: name},
		}},
	}, metav1.CreateOptions{})
	return err
}

// stop ends the process of a replica as Kubernetes does.
func (r *replicaProcess) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(10 * time.Second):
		_ = r.cmd.Process.Kill()
		<-r.ended
	}
}

// close ends all replicas and gives what they said.
func (s *site) close() (logs string) {
	for name, r := range s.replicas {
		if r.cmd != nil && r.cmd.Process != nil {
			r.stop()
		}
		endNginx(filepath.Join(s.dir, name))
		text, _ := os.ReadFile(r.log)
		logs += name + " said:\n" + string(text[max(0, len(text)-4000):])
	}
	_ = os.RemoveAll(s.dir)
	return logs
}

// try runs the program as a user would, and gives all that it says.
func (s *site) try(args ...string) (string, error) {
	cmd := exec.Command("migration-proxy", args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+s.plane.Kubeconfig(), "MIGRATION_PROXY_NAMESPACE="+s.namespace)
	output, err := cmd.CombinedOutput()
	return string(output), err
}

// write writes the migration config, created if it is not there.
func (s *site) write(ctx context.Context, text string) error {
	configMaps := s.client.CoreV1().ConfigMaps(s.namespace)
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: text}}
	_, err := configMaps.Update(ctx, wanted, metav1.UpdateOptions{})
	if err != nil {
		_, err = configMaps.Create(ctx, wanted, metav1.CreateOptions{})
	}
	return err
}
