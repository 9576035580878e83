package world

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// TestOpenRefusesExistingNamespaces: on a cluster that has us installed, or
// beside another run, it refuses, and takes back only what it made itself.
func TestOpenRefusesExistingNamespaces(t *testing.T) { // not parallel: it sets a variable
	if os.Getenv(KubeconfigVariable) != "" {
		t.Skip("it starts its own control plane, which make controlplane builds")
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Options{ControllerManager: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	t.Setenv(KubeconfigVariable, plane.Kubeconfig())
	client, err := kubernetes.NewForConfig(plane.Config())
	require.NoError(t, err)
	for _, existing := range []string{actorNamespace, Namespace} {
		namespaces, maps := client.CoreV1().Namespaces(), client.CoreV1().ConfigMaps(existing)
		_, err = namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: existing}}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = maps.Create(t.Context(), newConfigMap("services: []\n"), metav1.CreateOptions{})
		require.NoError(t, err)

		_, err = Open(t.Context(), func(string) {})
		require.ErrorContains(t, err, "namespace "+existing+" exists")
		require.ErrorContains(t, err, runLabel, "the message says how to find what a killed run left")
		_, err = maps.Get(t.Context(), ConfigMap, metav1.GetOptions{})
		require.NoError(t, err, "the user's migration config")
		list, err := namespaces.List(t.Context(), metav1.ListOptions{LabelSelector: runLabel})
		require.NoError(t, err)
		require.Empty(t, list.Items)
		require.NoError(t, namespaces.Delete(t.Context(), existing, metav1.DeleteOptions{}))
	}
}
