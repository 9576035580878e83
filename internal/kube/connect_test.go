package kube_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: here
contexts:
- {name: here, context: {cluster: near, user: me, namespace: shop}}
- {name: there, context: {cluster: far, user: me}}
clusters:
- {name: near, cluster: {server: "http://127.0.0.1:1"}}
- {name: far, cluster: {server: "http://127.0.0.1:2"}}
users: [{name: me}]
`

func TestConnect(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, os.WriteFile(file, []byte(kubeconfig), 0o600))
	for _, c := range []struct {
		to                kube.Connection
		server, namespace string
	}{
		{kube.Connection{Kubeconfig: file}, "http://127.0.0.1:1", "shop"},
		{kube.Connection{Kubeconfig: file, Namespace: "mine"}, "http://127.0.0.1:1", "mine"},
		{kube.Connection{Kubeconfig: file, Context: "there"}, "http://127.0.0.1:2", "default"},
	} {
		cluster, err := kube.Connect(c.to)
		require.NoError(t, err)
		require.Equal(t, c.server, cluster.Config.Host)
		require.Equal(t, c.namespace, cluster.Namespace)
		require.Equal(t, c.namespace+"/cm", cluster.ConfigMap("cm", nil).String())
	}
	_, err := kube.Connect(kube.Connection{Kubeconfig: file, Context: "nowhere"})
	require.ErrorContains(t, err, "read the kubeconfig: ")
	_, err = kube.Connect(kube.Connection{Kubeconfig: file + "x"})
	require.ErrorContains(t, err, "read the kubeconfig: ")
}

func TestConnectWithoutACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	_, err := kube.Connect(kube.Connection{})
	require.ErrorContains(t, err, "no cluster is known")
}

func TestLastGood(t *testing.T) {
	t.Parallel()
	state := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "migration-state"}}
	client := fake.NewClientset(state)
	name, text, err := kube.LastGood(t.Context(), client, "ns")
	require.NoError(t, err)
	require.Empty(t, name)
	require.Empty(t, text)

	state.Data = map[string]string{"last-good.yaml": "services: []"}
	_, err = client.CoreV1().ConfigMaps("ns").Update(t.Context(), state, metav1.UpdateOptions{})
	require.NoError(t, err)
	name, text, err = kube.LastGood(t.Context(), client, "ns")
	require.NoError(t, err)
	require.Equal(t, "ns/migration-state[last-good.yaml]", name)
	require.Equal(t, "services: []", string(text))

	_, _, err = kube.LastGood(t.Context(), client, "elsewhere")
	require.ErrorContains(t, err, "read the last valid migration config: ")
}
