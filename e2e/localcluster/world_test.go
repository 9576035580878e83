package localcluster_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/e2e/localcluster"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// roleVariable makes this program what a test starts: see roles.
const roleVariable = "CONTROLPLANE_TEST_ROLE"

var roles = map[string]func() int{
	"look":  func() int { return localcluster.Isolate(look) },
	"stay":  func() int { return localcluster.Isolate(stay) },
	"serve": serve,
}

func TestMain(m *testing.M) {
	if role, is := roles[os.Getenv(roleVariable)]; is {
		os.Exit(role())
	}
	os.Exit(m.Run())
}

// look says what it sees, leaves a process behind and ends with status 7.
func look() int {
	processes, err := os.Readlink(ownProcesses)
	if err != nil {
		return 1
	}
	fmt.Println(processes)
	interfaces, err := net.Interfaces()
	if err != nil {
		return 1
	}
	for _, one := range interfaces {
		addresses, _ := one.Addrs()
		fmt.Println(one.Name, addresses)
	}
	if err := exec.Command("sleep", "987654").Start(); err != nil {
		return 1
	}
	return 7
}

// stay is look that never ends.
func stay() int {
	look()
	time.Sleep(time.Hour)
	return 0
}

// serve starts a control plane, says where its files are, and never ends.
func serve() int {
	plane, err := controlplane.Start(context.Background(), controlplane.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(plane.Kubeconfig())
	time.Sleep(time.Hour)
	return 0
}

func play(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+role)
	command.Stderr = os.Stderr
	return command
}

// killed plays a role until it has said its first line, and kills it then.
func killed(t *testing.T, role string, meanwhile func(said string)) (said string) {
	t.Helper()
	command := play(t, role)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	said, err = bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	said = strings.TrimSpace(said)
	meanwhile(said)
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait())
	return said
}

// ownProcesses leads to the PID namespace of who looks.
const ownProcesses = "/proc/self/ns/pid"

// population is how many processes are in a PID namespace.
func population(t *testing.T, namespace string) (count int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	require.NoError(t, err)
	for _, one := range all {
		if in, err := os.Readlink(one); err == nil && in == namespace { // it may have ended
			count++
		}
	}
	return count
}

func TestIsolateHasItsOwnNetworkAndLeavesNothing(t *testing.T) {
	t.Parallel()
	output, err := play(t, "look").Output()
	var ended *exec.ExitError
	require.ErrorAs(t, err, &ended)
	require.Equal(t, 7, ended.ExitCode(), "%s", output)
	namespace, interfaces, _ := strings.Cut(string(output), "\n")
	require.Equal(t, "lo [127.0.0.1/8 ::1/128]\npods [10.99.0.1/16]\n", interfaces)
	require.NotEqual(t, ours(t), namespace)
	require.Zero(t, population(t, namespace))
}

func ours(t *testing.T) string {
	t.Helper()
	namespace, err := os.Readlink(ownProcesses)
	require.NoError(t, err)
	return namespace
}

func TestIsolateLeavesNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	namespace := killed(t, "stay", func(namespace string) {
		require.GreaterOrEqual(t, population(t, namespace), 2, "who keeps the namespace, and who stays")
	})
	require.Eventually(t, func() bool { return population(t, namespace) == 0 }, 10*time.Second, 20*time.Millisecond)
}

func TestWorldNeedsIsolation(t *testing.T) {
	t.Parallel()
	_, err := localcluster.NewWorld(t.Context(), localcluster.WorldOptions{})
	require.ErrorContains(t, err, "localcluster.Isolate")
}

func TestCertManagerIssues(t *testing.T) {
	t.Parallel()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{CertManager: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	objects, err := dynamic.NewForConfig(plane.Config())
	require.NoError(t, err)
	create := func(resource string, object map[string]any) {
		kind := schema.GroupVersionResource{Group: "cert-manager.io", Version: "v1", Resource: resource}
		object["apiVersion"], object["metadata"] = "cert-manager.io/v1", map[string]any{"name": "test"}
		_, err := objects.Resource(kind).Namespace("default").Create(t.Context(), &unstructured.Unstructured{Object: object}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	create("issuers", map[string]any{"kind": "Issuer", "spec": map[string]any{"selfSigned": map[string]any{}}})
	create("certificates", map[string]any{"kind": "Certificate", "spec": map[string]any{
		"secretName": "issued", "dnsNames": []any{"example.org"}, "issuerRef": map[string]any{"name": "test"},
	}})
	clients, err := kubernetes.NewForConfig(plane.Config())
	require.NoError(t, err)
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		secret, err := clients.CoreV1().Secrets("default").Get(t.Context(), "issued", metav1.GetOptions{})
		require.NoError(c, err)
		require.Contains(c, string(secret.Data["tls.crt"]), "BEGIN CERTIFICATE")
	}, 30*time.Second, 100*time.Millisecond)
}

// Stop removes the folder; that of a process that was killed is removed by
// the next Start.
func TestNoTemporaryFolderStays(t *testing.T) {
	t.Parallel()
	abandoned := killed(t, "serve", func(kubeconfig string) { require.FileExists(t, kubeconfig) })
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Dir(abandoned))
	require.FileExists(t, plane.Kubeconfig())
	require.NoError(t, plane.Stop())
	require.NoDirExists(t, filepath.Dir(plane.Kubeconfig()))
}
