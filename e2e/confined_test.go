package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestWatcherIsConfined: with the rights of the watcher's account nobody can write what the
// migration proxy has not made, and no Ingress that has not opted in.
func TestWatcherIsConfined(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Ingress("shop")
	s.Ingress("opted")
	s.Configure(0)
	s.OptIn("opted")
	watcher, err := cluster.ClientAs("system:serviceaccount:" + world.Namespace + ":migration-proxy-webhook")
	require.NoError(t, err)
	services, ingresses := watcher.CoreV1().Services(s.Namespace), watcher.NetworkingV1().Ingresses(s.Namespace)
	dry := metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}

	old, err := services.Get(t.Context(), world.Old, metav1.GetOptions{})
	require.NoError(t, err)
	edited := old.DeepCopy()
	edited.Spec.Selector = map[string]string{"app": "another"}
	_, err = services.Update(t.Context(), edited, dry)
	requireConfined(t, err)
	labeled := old.DeepCopy()
	labeled.Labels = map[string]string{"app.kubernetes.io/managed-by": "migration-proxy"}
	_, err = services.Update(t.Context(), labeled, dry)
	requireConfined(t, err)
	requireConfined(t, services.Delete(t.Context(), world.Old, metav1.DeleteOptions{DryRun: dry.DryRun}))
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "foreign"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	_, err = services.Create(t.Context(), foreign, metav1.CreateOptions{DryRun: dry.DryRun})
	requireConfined(t, err)
	foreign.Labels = labeled.Labels
	_, err = services.Create(t.Context(), foreign, metav1.CreateOptions{DryRun: dry.DryRun})
	require.NoError(t, err)

	shop := s.GetIngress("shop")
	shop.Labels = map[string]string{"x": "y"}
	_, err = ingresses.Update(t.Context(), shop, dry)
	requireConfined(t, err)
	requireConfined(t, ingresses.Delete(t.Context(), "opted", metav1.DeleteOptions{DryRun: dry.DryRun}))
	world.Eventually(t, "the opted-in Ingress may be edited", func(ctx context.Context) error {
		opted := s.GetIngress("opted")
		opted.Labels = map[string]string{"x": "y"}
		_, err := ingresses.Update(ctx, opted, dry)
		return err
	})
}

func requireConfined(t *testing.T, err error) {
	t.Helper()
	require.True(t, apierrors.IsInvalid(err) || apierrors.IsForbidden(err), "%v", err)
	require.ErrorContains(t, err, "writes only objects with label")
}
