package watcher_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// apply is `kubectl apply --server-side` without --force-conflicts.
func (env *testEnv) apply(ingress *networkingv1.Ingress) error {
	env.Helper()
	body, err := json.Marshal(ingress)
	require.NoError(env, err)
	_, err = env.client.NetworkingV1().Ingresses(env.app).Patch(
		env.Context(), ingress.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "gitops"})
	return err
}

// TestServerSideApply: a user of server-side apply gets no conflict after the
// watcher's writes, and owns the same fields as before.
func TestServerSideApply(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	require.NoError(t, env.apply(env.newIngress("api")))
	owned := ownedBy(t, env.getIngress("api"), "gitops")
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForQuiet()
	require.Equal(t, owned, ownedBy(t, env.getIngress("api"), "gitops"))
	require.NotContains(t, ownedBy(t, env.getIngress("api"), names.Manager), "f:rules")

	require.NoError(t, env.apply(env.newIngress("api")), "the same manifest again")
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForQuiet()
	env.reportPhase(1, status.FallenBack, "5 failures in 60s")
	env.waitForPhase("api", status.FallenBack, "api")
	env.waitForQuiet()
	changed := env.newIngress("api")
	changed.Spec.Rules[0].HTTP.Paths = changed.Spec.Rules[0].HTTP.Paths[:1]
	changed.Annotations["mine"] = "new"
	require.NoError(t, env.apply(changed), "a new manifest, while fallen back")
	require.Equal(t, "new", env.getIngress("api").Annotations["mine"])
	env.reportPhase(1, status.Migrating, "")
	require.Len(t, env.waitForPhase("api", status.Migrating, proxyOf("api")).Spec.Rules[0].HTTP.Paths, 1)
	env.annotate("api", ingressgen.AnnotationEnabled, "null")
	env.waitForPhase("api", "", "api")
}

// TestConcurrentWrites: a user applies before the first of the watcher's two
// writes, and an ingress controller writes the status between them. The field
// owners are restored, and the user owns what was applied meanwhile.
func TestConcurrentWrites(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	require.NoError(t, env.apply(env.newIngress("api")))
	changed := env.newIngress("api")
	changed.Annotations["added"] = "meanwhile"
	options := env.options()
	var first, second sync.Once
	intercept(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/ingresses/api") {
			body, err := io.ReadAll(request.Body)
			require.NoError(t, err)
			request.Body = io.NopCloser(bytes.NewReader(body))
			if !bytes.Contains(body, []byte("/metadata/managedFields")) {
				first.Do(func() { require.NoError(t, env.apply(changed)) })
			} else {
				second.Do(env.writeIngressStatus)
			}
		}
		return next.RoundTrip(request)
	})
	env.startWith(options)
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.eventually(func() bool { return !strings.Contains(ownedBy(t, env.getIngress("api"), names.Manager), "f:rules") }, "the owner of rules is restored")
	owned := ownedBy(t, env.getIngress("api"), "gitops")
	require.Contains(t, owned, `"f:rules":{}`)
	require.Contains(t, owned, `"f:added":{}`)
	require.NoError(t, env.apply(changed), "the same manifest again")
}

// writeIngressStatus writes the status, as ingress controllers do.
func (env *testEnv) writeIngressStatus() {
	ingress := env.getIngress("api")
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "10.0.0.1"}}
	_, err := env.client.NetworkingV1().Ingresses(env.app).UpdateStatus(env.Context(), ingress, metav1.UpdateOptions{})
	require.NoError(env, err)
}

// TestConflictWithoutRestore shows why field owners are restored: the API server
// refuses the same manifest when another client owns spec.rules.
func TestConflictWithoutRestore(t *testing.T) {
	env := newTestEnv(t, 0)
	require.NoError(t, env.apply(env.newIngress("api")))
	body := `[{"op":"replace","path":"/spec/rules/0/http/paths/0/backend/service/name","value":"other"}]`
	_, err := env.client.NetworkingV1().Ingresses(env.app).Patch(
		t.Context(), "api", types.JSONPatchType, []byte(body), metav1.PatchOptions{FieldManager: "another"})
	require.NoError(t, err)
	require.True(t, apierrors.IsConflict(env.apply(env.newIngress("api"))))
}

// TestOneWriteWithoutApply: without server-side apply one write is enough.
func TestOneWriteWithoutApply(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.waitForQuiet()
	require.Len(t, env.writes.of("ingresses"), 1)
}

func ownedBy(t *testing.T, ingress *networkingv1.Ingress, manager string) string {
	t.Helper()
	var owned []string
	for _, entry := range ingress.ManagedFields {
		if entry.Manager == manager {
			owned = append(owned, string(entry.Operation)+string(entry.FieldsV1.GetRawBytes()))
		}
	}
	return strings.Join(owned, "\n")
}

// TestUserWritesAreKept: a user and a deployment tool write while the watcher
// does. Nothing of theirs is lost, and the Ingress ends as desired.
func TestUserWritesAreKept(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 1}))
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	ended := time.Now().Add(3 * time.Second)
	edits := 0
	for ; time.Now().Before(ended); edits++ {
		env.writeConfig(env.servicesConfig(map[string]int{"api": 2 + edits%90}))
		manifest := env.newIngress("api")
		manifest.Annotations["mine"] = time.Now().String()
		manifest.Spec.Rules[0].HTTP.Paths[1].Path = "/.well-known/acme-challenge/" + time.Now().Format("150405.000000")
		if edits%3 == 0 {
			manifest.Spec.Rules[0].HTTP.Paths = append(manifest.Spec.Rules[0].HTTP.Paths[1:], manifest.Spec.Rules[0].HTTP.Paths[0])
		}
		_, err := env.client.NetworkingV1().Ingresses(env.app).Update(t.Context(), manifest, metav1.UpdateOptions{})
		require.NoError(t, err) // no resourceVersion: it overwrites
	}
	manifest := env.newIngress("api")
	manifest.Annotations["mine"] = "last"
	_, err := env.client.NetworkingV1().Ingresses(env.app).Update(t.Context(), manifest, metav1.UpdateOptions{})
	require.NoError(t, err)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 95}))
	found := env.waitForPhase("api", status.Migrating, proxyOf("api"))
	require.Equal(t, "last", found.Annotations["mine"])
	env.eventually(func() bool { return env.getIngress("api").Annotations[ingressgen.AnnotationShare] == "95" }, "the last share")
	t.Logf("%d edits, %d writes of ours, of which %d came too late", edits, len(env.writes.of("ingresses")), env.refusedWrites())
	env.annotate("api", ingressgen.AnnotationEnabled, "null")
	require.Equal(t, manifest.Spec.Rules, env.waitForPhase("api", "", "api").Spec.Rules)
}

// refusedWrites counts writes that the API server refused because the Ingress had
// changed.
func (env *testEnv) refusedWrites() int {
	count := 0
	for _, one := range env.writes.of("ingresses") {
		if one.status == 422 || one.status == 409 {
			count++
		}
	}
	return count
}
