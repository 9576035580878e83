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
func (w *world) apply(ingress *networkingv1.Ingress) error {
	w.Helper()
	body, err := json.Marshal(ingress)
	require.NoError(w, err)
	_, err = w.client.NetworkingV1().Ingresses(w.app).Patch(
		w.Context(), ingress.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: "gitops"})
	return err
}

// TestServerSideApply: who applies on the server's side meets no conflict,
// whatever we did to the Ingress, and owns what it did before.
func TestServerSideApply(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	require.NoError(t, w.apply(w.ingress("api")))
	owned := ownedBy(t, w.get("api"), "gitops")
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.quiet()
	require.Equal(t, owned, ownedBy(t, w.get("api"), "gitops"))
	require.NotContains(t, ownedBy(t, w.get("api"), names.Manager), "f:rules")

	require.NoError(t, w.apply(w.ingress("api")), "the same manifest again")
	w.until("api", status.Migrating, names.ProxyService)
	w.quiet()
	w.phase(1, status.FallenBack, "5 failures in 60s")
	w.until("api", status.FallenBack, "api")
	w.quiet()
	changed := w.ingress("api")
	changed.Spec.Rules[0].HTTP.Paths = changed.Spec.Rules[0].HTTP.Paths[:1]
	changed.Annotations["mine"] = "new"
	require.NoError(t, w.apply(changed), "a new manifest, while fallen back")
	require.Equal(t, "new", w.get("api").Annotations["mine"])
	w.phase(1, status.Migrating, "")
	require.Len(t, w.until("api", status.Migrating, names.ProxyService).Spec.Rules[0].HTTP.Paths, 1)
	w.annotate("api", ingressgen.AnnotationEnabled, "null")
	w.until("api", "", "api")
}

// TestSomebodyWritesBetween our two writes, as ingress controllers write the
// status, and before the first, as deployments do: the fields are given back,
// and what was applied meanwhile belongs to who applied it.
func TestSomebodyWritesBetween(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	require.NoError(t, w.apply(w.ingress("api")))
	changed := w.ingress("api")
	changed.Annotations["added"] = "meanwhile"
	options := w.options()
	var first, second sync.Once
	between(options, func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		if request.Method == http.MethodPatch && strings.HasSuffix(request.URL.Path, "/ingresses/api") {
			body, err := io.ReadAll(request.Body)
			require.NoError(t, err)
			request.Body = io.NopCloser(bytes.NewReader(body))
			if !bytes.Contains(body, []byte("/metadata/managedFields")) {
				first.Do(func() { require.NoError(t, w.apply(changed)) })
			} else {
				second.Do(w.controllerWrites)
			}
		}
		return next.RoundTrip(request)
	})
	w.start(options)
	w.until("api", status.Migrating, names.ProxyService)
	w.eventually(func() bool { return !strings.Contains(ownedBy(t, w.get("api"), names.Manager), "f:rules") }, "rules are given back")
	owned := ownedBy(t, w.get("api"), "gitops")
	require.Contains(t, owned, `"f:rules":{}`)
	require.Contains(t, owned, `"f:added":{}`)
	require.NoError(t, w.apply(changed), "the same manifest again")
}

// controllerWrites: the ingress controller writes into the status.
func (w *world) controllerWrites() {
	ingress := w.get("api")
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "10.0.0.1"}}
	_, err := w.client.NetworkingV1().Ingresses(w.app).UpdateStatus(w.Context(), ingress, metav1.UpdateOptions{})
	require.NoError(w, err)
}

// TestWhoDoesNotGiveBack shows what giving back is for: the API server refuses
// the same manifest when another owns spec.rules.
func TestWhoDoesNotGiveBack(t *testing.T) {
	w := newWorld(t, 0)
	require.NoError(t, w.apply(w.ingress("api")))
	body := `[{"op":"replace","path":"/spec/rules/0/http/paths/0/backend/service/name","value":"other"}]`
	_, err := w.client.NetworkingV1().Ingresses(w.app).Patch(
		t.Context(), "api", types.JSONPatchType, []byte(body), metav1.PatchOptions{FieldManager: "another"})
	require.NoError(t, err)
	require.True(t, apierrors.IsConflict(w.apply(w.ingress("api"))))
}

// TestNobodyApplied: without server-side apply one write is enough.
func TestNobodyApplied(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 20}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	w.quiet()
	require.Len(t, w.journal.of("ingresses"), 1)
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

// TestUserWinsRaces: a user and a deployment tool write while the watcher does.
// Nothing of theirs is lost, and the end is what it must be.
func TestUserWinsRaces(t *testing.T) {
	w := newWorld(t, 1)
	w.write(w.services(map[string]int{"api": 1}))
	w.create(w.ingress("api"))
	w.watch()
	w.until("api", status.Migrating, names.ProxyService)
	ended := time.Now().Add(3 * time.Second)
	edits := 0
	for ; time.Now().Before(ended); edits++ {
		w.write(w.services(map[string]int{"api": 2 + edits%90}))
		manifest := w.ingress("api")
		manifest.Annotations["mine"] = time.Now().String()
		manifest.Spec.Rules[0].HTTP.Paths[1].Path = "/.well-known/acme-challenge/" + time.Now().Format("150405.000000")
		if edits%3 == 0 {
			manifest.Spec.Rules[0].HTTP.Paths = append(manifest.Spec.Rules[0].HTTP.Paths[1:], manifest.Spec.Rules[0].HTTP.Paths[0])
		}
		_, err := w.client.NetworkingV1().Ingresses(w.app).Update(t.Context(), manifest, metav1.UpdateOptions{})
		require.NoError(t, err) // no resourceVersion: it overwrites
	}
	manifest := w.ingress("api")
	manifest.Annotations["mine"] = "last"
	_, err := w.client.NetworkingV1().Ingresses(w.app).Update(t.Context(), manifest, metav1.UpdateOptions{})
	require.NoError(t, err)
	w.write(w.services(map[string]int{"api": 95}))
	found := w.until("api", status.Migrating, names.ProxyService)
	require.Equal(t, "last", found.Annotations["mine"])
	w.eventually(func() bool { return w.get("api").Annotations[ingressgen.AnnotationShare] == "95" }, "the last share")
	t.Logf("%d edits, %d writes of ours, of which %d came too late", edits, len(w.journal.of("ingresses")), w.tooLate())
	w.annotate("api", ingressgen.AnnotationEnabled, "null")
	require.Equal(t, manifest.Spec.Rules, w.until("api", "", "api").Spec.Rules)
}

// tooLate counts writes that the API server refused, because what they were
// made for had changed.
func (w *world) tooLate() int {
	count := 0
	for _, one := range w.journal.of("ingresses") {
		if one.status == 422 || one.status == 409 {
			count++
		}
	}
	return count
}
