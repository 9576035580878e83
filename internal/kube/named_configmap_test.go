package kube_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	os.Exit(controlplane.Main(m, controlplane.Options{}, &plane))
}

// patience is for a busy machine; what is wanted takes milliseconds.
const patience = 30 * time.Second

// configMapTest is a namespace with one follower, who may do nothing but follow.
type configMapTest struct {
	*testing.T
	admin    kubernetes.Interface
	object   kube.NamedConfigMap
	versions chan *corev1.ConfigMap
	errors   atomic.Int64
}

func newConfigMapTest(t *testing.T) *configMapTest {
	t.Helper()
	namespace, err := plane.Namespace(t.Context(), "cluster")
	require.NoError(t, err)
	w := &configMapTest{T: t, admin: client(t, plane.Config()), versions: make(chan *corev1.ConfigMap, 1000)}
	follower, err := plane.User("follower-of-" + namespace)
	require.NoError(t, err)
	w.grant(namespace)
	w.object = kube.NamedConfigMap{
		Client: client(t, follower), Namespace: namespace, Name: names.ConfigMap, Log: slog.New(slog.DiscardHandler),
		OnError: func(error) { w.errors.Add(1) },
	}
	return w
}

func client(t *testing.T, config *rest.Config) *kubernetes.Clientset {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	made, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return made
}

// grant gives the data plane's rights: one ConfigMap by its name.
func (w *configMapTest) grant(namespace string) {
	w.Helper()
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "follower"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, ResourceNames: []string{names.ConfigMap}, Verbs: []string{"get", "list", "watch"},
	}}}
	_, err := w.admin.RbacV1().Roles(namespace).Create(w.Context(), role, metav1.CreateOptions{})
	require.NoError(w, err)
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "follower"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "follower"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "follower-of-" + namespace}},
	}
	_, err = w.admin.RbacV1().RoleBindings(namespace).Create(w.Context(), binding, metav1.CreateOptions{})
	require.NoError(w, err)
}

// follow runs Follow until the function it gives is called.
func (w *configMapTest) follow() (stop func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- w.object.Follow(ctx, func(c *corev1.ConfigMap) { w.versions <- c }) }()
	stop = func() {
		cancel()
		select {
		case err := <-done:
			require.NoError(w, err)
		case <-time.After(patience):
			require.Fail(w, "Follow does not end with its context")
		}
	}
	return stop
}

// next is the next version's text; "" is a ConfigMap that does not exist.
func (w *configMapTest) next() string {
	w.Helper()
	select {
	case version := <-w.versions:
		if version == nil {
			return ""
		}
		text, err := w.object.ConfigText(version)
		require.NoError(w, err)
		return string(text)
	case <-time.After(patience):
		require.Fail(w, "no version came")
		return ""
	}
}

func (w *configMapTest) write(text string) {
	w.Helper()
	configMaps := w.admin.CoreV1().ConfigMaps(w.object.Namespace)
	wanted := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: text}}
	_, err := configMaps.Update(w.Context(), wanted, metav1.UpdateOptions{})
	if err != nil {
		_, err = configMaps.Create(w.Context(), wanted, metav1.CreateOptions{})
	}
	require.NoError(w, err)
}

func (w *configMapTest) remove() {
	w.Helper()
	require.NoError(w, w.admin.CoreV1().ConfigMaps(w.object.Namespace).Delete(w.Context(), names.ConfigMap, metav1.DeleteOptions{}))
}

// TestFollowGivesEachVersionInOrder: absent, written, 200 edits, gone, back;
// and nobody else's ConfigMap.
func TestFollowGivesEachVersionInOrder(t *testing.T) {
	t.Parallel()
	w := newConfigMapTest(t)
	defer w.follow()()
	require.Empty(t, w.next())
	other := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "other"}}
	_, err := w.admin.CoreV1().ConfigMaps(w.object.Namespace).Create(t.Context(), other, metav1.CreateOptions{})
	require.NoError(t, err)
	var slowest time.Duration
	for i := range 200 {
		text := fmt.Sprintf("version %d", i)
		w.write(text)
		written := time.Now()
		require.Equal(t, text, w.next())
		slowest = max(slowest, time.Since(written))
	}
	t.Logf("the slowest of 200 versions came %s after it was written", slowest)
	w.remove()
	require.Empty(t, w.next())
	w.write("back")
	require.Equal(t, "back", w.next())
	require.Empty(t, w.versions)
	require.Zero(t, w.errors.Load())
}

// TestFollowStartsWithTheStoredVersion: and never says in between that it is not.
func TestFollowStartsWithTheStoredVersion(t *testing.T) {
	t.Parallel()
	w := newConfigMapTest(t)
	w.write("there")
	stop := w.follow()
	require.Equal(t, "there", w.next())
	stop()
	w.write("unseen")
	require.Empty(t, w.versions)
}

// TestFollowWithoutRights tells, and goes on when they come.
func TestFollowWithoutRights(t *testing.T) {
	t.Parallel()
	w := newConfigMapTest(t)
	bindings := w.admin.RbacV1().RoleBindings(w.object.Namespace)
	binding, err := bindings.Get(t.Context(), "follower", metav1.GetOptions{})
	require.NoError(t, err)
	require.NoError(t, bindings.Delete(t.Context(), "follower", metav1.DeleteOptions{}))
	w.awaitForbidden()
	defer w.follow()()
	require.Eventually(t, func() bool { return w.errors.Load() > 1 }, patience, 10*time.Millisecond)
	require.Empty(t, w.versions)
	binding.ResourceVersion = ""
	_, err = bindings.Create(t.Context(), binding, metav1.CreateOptions{})
	require.NoError(t, err)
	require.Empty(t, w.next())
}

// awaitForbidden: the API server's authorizer hears of bindings by a watch.
func (w *configMapTest) awaitForbidden() {
	w.Helper()
	require.Eventually(w, func() bool {
		_, err := w.object.Client.CoreV1().ConfigMaps(w.object.Namespace).Get(w.Context(), names.ConfigMap, metav1.GetOptions{})
		return apierrors.IsForbidden(err)
	}, patience, 10*time.Millisecond)
}

// TestFollowOverAnOutage runs alone: the API server is everybody's.
func TestFollowOverAnOutage(t *testing.T) {
	w := newConfigMapTest(t)
	w.write("before")
	defer w.follow()()
	require.Equal(t, "before", w.next())
	for round := range 2 {
		require.NoError(t, plane.StopAPIServer())
		require.Eventually(t, func() bool { return w.errors.Load() > 2 }, patience, 10*time.Millisecond)
		require.Empty(t, w.versions, "an outage is no version")
		require.NoError(t, plane.StartAPIServer(t.Context()))
		back := time.Now()
		text := fmt.Sprint("after ", round)
		w.write(text)
		require.Equal(t, text, w.next(), "what did not change is not told again")
		t.Logf("caught up %s after the API server was back", time.Since(back))
		w.errors.Store(0)
	}
}

// TestFollowEndsWithItsContext but the client's connection, which is the client's.
func TestFollowEndsWithItsContext(t *testing.T) {
	w := newConfigMapTest(t)
	connection := goleak.IgnoreAnyFunction("golang.org/x/net/http2.(*ClientConn).readLoop")
	before := goleak.IgnoreCurrent()
	stop := w.follow()
	require.Empty(t, w.next())
	stop()
	goleak.VerifyNone(t, before, connection)
}
