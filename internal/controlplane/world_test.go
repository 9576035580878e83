package controlplane_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// insideVariable makes this program the inside of TestIsolate.
const insideVariable = "CONTROLPLANE_TEST_INSIDE"

func TestMain(m *testing.M) {
	if os.Getenv(insideVariable) != "" {
		os.Exit(controlplane.Isolate(inside))
	}
	os.Exit(m.Run())
}

// inside says what it sees, leaves a process behind and ends with status 7.
func inside() int {
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

func TestIsolateHasItsOwnNetworkAndLeavesNothing(t *testing.T) {
	t.Parallel()
	outside := exec.Command(os.Args[0])
	outside.Env = append(os.Environ(), insideVariable+"=yes")
	output, err := outside.Output()
	var ended *exec.ExitError
	require.ErrorAs(t, err, &ended)
	require.Equal(t, 7, ended.ExitCode(), "%s%s", output, ended.Stderr)
	require.Equal(t, "lo [127.0.0.1/8 ::1/128]\npods [10.99.0.1/16]\n", string(output))
	require.Error(t, exec.Command("pgrep", "-f", "sleep 987654").Run(), "the process that was left behind")
}

func TestWorldNeedsIsolation(t *testing.T) {
	t.Parallel()
	_, err := controlplane.NewWorld(t.Context(), controlplane.WorldOptions{})
	require.ErrorContains(t, err, "controlplane.Isolate")
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
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		secret, err := client(t, plane.Config()).CoreV1().Secrets("default").Get(t.Context(), "issued", metav1.GetOptions{})
		require.NoError(c, err)
		require.Contains(c, string(secret.Data["tls.crt"]), "BEGIN CERTIFICATE")
	}, 30*time.Second, 100*time.Millisecond)
}
