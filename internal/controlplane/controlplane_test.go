package controlplane_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	made, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return made
}

func startPlane(t *testing.T) *controlplane.ControlPlane {
	t.Helper()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	return plane
}

func TestRBACApplies(t *testing.T) {
	t.Parallel()
	plane := startPlane(t)
	namespace, err := plane.Namespace(t.Context(), "users")
	require.NoError(t, err)
	admin := client(t, plane.Config())
	_, err = admin.CoreV1().ServiceAccounts(namespace).Create(t.Context(),
		&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "reader"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	user, err := plane.User("somebody")
	require.NoError(t, err)
	account, err := plane.ServiceAccount(t.Context(), namespace, "reader")
	require.NoError(t, err)

	for _, config := range []*rest.Config{user, account} {
		_, err := client(t, config).CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
		require.True(t, apierrors.IsForbidden(err), "before a binding: %v", err)
	}
	_, err = admin.RbacV1().Roles(namespace).Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Name: "read"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = admin.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "read"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "read"},
		Subjects: []rbacv1.Subject{
			{Kind: "User", APIGroup: rbacv1.GroupName, Name: "somebody"},
			{Kind: "ServiceAccount", Namespace: namespace, Name: "reader"},
		},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	for _, config := range []*rest.Config{user, account} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			_, err := client(t, config).CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
			require.NoError(c, err)
		}, 10*time.Second, 50*time.Millisecond)
	}
}

func TestAPIServerRestartKeepsData(t *testing.T) {
	t.Parallel()
	plane := startPlane(t)
	maps := client(t, plane.Config()).CoreV1().ConfigMaps("default")
	_, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{})
	require.NoError(t, err)

	require.NoError(t, plane.StopAPIServer())
	_, err = maps.Get(t.Context(), "kept", metav1.GetOptions{})
	require.ErrorContains(t, err, "connection refused")

	require.NoError(t, plane.StartAPIServer(t.Context()))
	_, err = maps.Get(t.Context(), "kept", metav1.GetOptions{})
	require.NoError(t, err)
}

// TestTakenPortIsReplaced lets another process take the port after it was chosen and
// before the API server listens.
func TestTakenPortIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	taken := make(chan net.Listener, 1)
	go func() {
		defer close(taken)
		for ; t.Context().Err() == nil; time.Sleep(time.Millisecond) {
			config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(dir, "kubeconfig"))
			if err != nil {
				continue // it is not written yet
			}
			if listener, err := net.Listen("tcp", strings.TrimPrefix(config.Host, "https://")); err == nil {
				taken <- listener
				_ = http.Serve(listener, http.NotFoundHandler()) // until it is closed
			}
			return
		}
	}()
	plane, err := controlplane.Start(t.Context(), controlplane.Options{Dir: dir})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, plane.Stop()) })
	listener := <-taken
	require.NotNil(t, listener)
	defer listener.Close()
	require.NotEqual(t, listener.Addr().String(), plane.Server().String())
	_, err = client(t, plane.Config()).Discovery().ServerVersion()
	require.NoError(t, err)
}

func TestFailedEtcdIsReported(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etcd"), nil, 0o600)) // where the data go
	_, err := controlplane.Start(t.Context(), controlplane.Options{Dir: dir})
	require.ErrorContains(t, err, "etcd ended")
	require.ErrorContains(t, err, "not a directory")
}

// Not parallel: it changes the environment.
func TestFailedCertManagerIsReported(t *testing.T) {
	given := t.TempDir()
	script := "#!/bin/sh\nsleep 1\necho no reason to go on\nexit 1\n"
	require.NoError(t, os.WriteFile(filepath.Join(given, "cert-manager"), []byte(script), 0o755))
	path, err := controlplane.Program("cert-manager")
	require.NoError(t, err)
	require.NoError(t, os.Symlink(filepath.Join(filepath.Dir(path), "crds"), filepath.Join(given, "crds")))
	t.Setenv("KUBEBUILDER_ASSETS", given)
	_, err = controlplane.Start(t.Context(), controlplane.Options{CertManager: true})
	require.ErrorContains(t, err, "cert-manager ended")
	require.ErrorContains(t, err, "no reason to go on")
}

// Not parallel: it changes the environment.
func TestMissingProgramsAreReported(t *testing.T) {
	t.Setenv("KUBEBUILDER_ASSETS", t.TempDir())
	_, err := controlplane.Program("no-such-program")
	require.ErrorContains(t, err, "make controlplane")
	require.ErrorContains(t, err, "KUBEBUILDER_ASSETS")
	t.Chdir(t.TempDir())
	_, err = controlplane.Program("etcd")
	require.ErrorContains(t, err, "checkout")
}
