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

// roleVariable selects what this program does when a test starts it: see roles.
const roleVariable = "CONTROLPLANE_TEST_ROLE"

var roles = map[string]func() int{
	"inspect": func() int { return localcluster.Isolate(inspect) },
	"sleep":   func() int { return localcluster.Isolate(sleep) },
	"serve":   serve,
}

func TestMain(m *testing.M) {
	if role, is := roles[os.Getenv(roleVariable)]; is {
		os.Exit(role())
	}
	os.Exit(m.Run())
}

// inspect prints the PID namespace and the interfaces, leaves a process behind and
// ends with status 7.
func inspect() int {
	processes, err := os.Readlink(pidNamespace)
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

// sleep is inspect without an end.
func sleep() int {
	inspect()
	time.Sleep(time.Hour)
	return 0
}

// serve starts a control plane, prints where its files are, and does not end.
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

func commandFor(t *testing.T, role string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), roleVariable+"="+role)
	command.Stderr = os.Stderr
	return command
}

// startAndKill starts a role, calls check with its first line, and then kills it.
func startAndKill(t *testing.T, role string, check func(line string)) (line string) {
	t.Helper()
	command := commandFor(t, role)
	output, err := command.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	line, err = bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	line = strings.TrimSpace(line)
	check(line)
	require.NoError(t, command.Process.Kill())
	require.Error(t, command.Wait())
	return line
}

// pidNamespace is a link to the PID namespace of the process that reads it.
const pidNamespace = "/proc/self/ns/pid"

// countProcesses gives the number of processes in a PID namespace.
func countProcesses(t *testing.T, namespace string) (count int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	require.NoError(t, err)
	for _, one := range all {
		if in, err := os.Readlink(one); err == nil && in == namespace { // the process may have ended
			count++
		}
	}
	return count
}

func TestIsolateHasItsOwnNetworkAndLeavesNothing(t *testing.T) {
	t.Parallel()
	output, err := commandFor(t, "inspect").Output()
	var ended *exec.ExitError
	require.ErrorAs(t, err, &ended)
	require.Equal(t, 7, ended.ExitCode(), "%s", output)
	namespace, interfaces, _ := strings.Cut(string(output), "\n")
	require.Equal(t, "lo [127.0.0.1/8 ::1/128]\npods [10.99.0.1/16]\n", interfaces)
	require.NotEqual(t, ownNamespace(t), namespace)
	require.Zero(t, countProcesses(t, namespace))
}

func ownNamespace(t *testing.T) string {
	t.Helper()
	namespace, err := os.Readlink(pidNamespace)
	require.NoError(t, err)
	return namespace
}

func TestIsolateLeavesNothingWhenItIsKilled(t *testing.T) {
	t.Parallel()
	namespace := startAndKill(t, "sleep", func(namespace string) {
		require.GreaterOrEqual(t, countProcesses(t, namespace), 2, "process 1 and the role")
	})
	require.Eventually(t, func() bool { return countProcesses(t, namespace) == 0 }, time.Minute, 20*time.Millisecond)
}

func TestStartNeedsIsolation(t *testing.T) {
	t.Parallel()
	_, err := localcluster.Start(t.Context(), localcluster.Options{})
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
	}, time.Minute, 100*time.Millisecond)
}

// Stop removes the temporary folder. The folder of a killed process is removed by the
// next Start.
func TestNoTemporaryFolderStays(t *testing.T) {
	t.Parallel()
	abandoned := startAndKill(t, "serve", func(kubeconfig string) { require.FileExists(t, kubeconfig) })
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	require.NoError(t, err)
	require.NoDirExists(t, filepath.Dir(abandoned))
	require.FileExists(t, plane.Kubeconfig())
	require.NoError(t, plane.Stop())
	require.NoDirExists(t, filepath.Dir(plane.Kubeconfig()))
}
