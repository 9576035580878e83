package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestHelmTest: helm test finds that the installation works, and takes its account away.
func TestHelmTest(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	s.Configure(0)
	s.Ingress("shop", enabled)
	s.WaitForPhase("shop", migrating)
	require.Regexp(t, `TEST SUITE: +migration-proxy-test[\s\S]*Phase: +Succeeded`, cluster.HelmTest(t))
	_, err := cluster.Client.CoreV1().ServiceAccounts(world.Namespace).Get(t.Context(), "migration-proxy-test", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err), "%v", err)
}
