package restore

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// versions are the resource versions of everything that a command may write.
func (c *cluster) versions() map[string]string {
	c.Helper()
	found := map[string]string{}
	add := func(kind string, object metav1.Object) {
		found[kind+" "+object.GetNamespace()+"/"+object.GetName()] = object.GetResourceVersion()
	}
	for _, namespace := range []string{c.apps, c.Namespace} {
		ingresses, err := c.NetworkingV1().Ingresses(namespace).List(c.Context(), metav1.ListOptions{})
		require.NoError(c, err)
		for i := range ingresses.Items {
			add("ingress", &ingresses.Items[i])
		}
		services, err := c.CoreV1().Services(namespace).List(c.Context(), metav1.ListOptions{})
		require.NoError(c, err)
		for i := range services.Items {
			add("service", &services.Items[i])
		}
		maps, err := c.CoreV1().ConfigMaps(namespace).List(c.Context(), metav1.ListOptions{})
		require.NoError(c, err)
		for i := range maps.Items {
			add("configmap", &maps.Items[i])
		}
	}
	return found
}

// TestPlanAll: a dry run prints each write and makes none, and what it prints is what
// restore --all then does.
func TestPlanAll(t *testing.T) {
	c := newCluster(t)
	c.rewrittenIngress("blog")
	c.rewrittenIngress("shop")
	c.createGenerated()
	before := c.versions()
	var output bytes.Buffer
	require.NoError(t, PlanAll(t.Context(), &output, c.Installation, "alice"))
	require.Equal(t, before, c.versions())
	plan := output.String()
	require.Contains(t, plan, `would create configmaps `+c.Namespace+`/`+names.StateMap+` with {"data":{"`+status.PausedKey+`":"'restore --all' by alice at `)
	require.Contains(t, plan, `would patch ingresses.networking.k8s.io `+c.apps+`/shop with [`)
	require.Contains(t, plan, "would delete ingresses.networking.k8s.io "+c.apps+"/blog-migration\n")
	proxy := ingressgen.ProxyService(c.apps, shopBackend, nil)
	require.Contains(t, plan, "would delete services "+c.apps+"/"+proxy.Name+"\n")
	deletes := strings.Count(plan, "would delete ")
	require.Regexp(t, `nothing was written; 2 Ingresses would be restored, and \d+ generated objects deleted\n$`, plan)

	// The printed patch is the one that restores the Ingress.
	_, text, _ := strings.Cut(plan, c.apps+"/shop with ")
	text, _, _ = strings.Cut(text, "\n")
	require.True(t, json.Valid([]byte(text)), text)
	_, err := c.NetworkingV1().Ingresses(c.apps).Patch(t.Context(), "shop", types.JSONPatchType, []byte(text), metav1.PatchOptions{})
	require.NoError(t, err)
	require.False(t, ingressgen.Touched(c.ingress("shop")))

	c.wantAll()
	gone := 0
	for object := range before {
		if _, still := c.versions()[object]; !still {
			gone++
		}
	}
	require.Equal(t, deletes-strings.Count(plan, "would delete endpointslices"), gone)
	output.Reset()
	require.NoError(t, PlanResume(t.Context(), &output, c.Installation))
	require.Contains(t, output.String(), `with {"data":{"paused":null}}`)
	require.Contains(t, c.state(), status.PausedKey)
}

func TestPlanOne(t *testing.T) {
	c := newCluster(t)
	c.rewrittenIngress("blog")
	before := c.versions()
	var output bytes.Buffer
	name := types.NamespacedName{Namespace: c.apps, Name: "blog"}
	require.NoError(t, PlanOne(t.Context(), &output, c.Installation, name))
	require.Equal(t, before, c.versions())
	require.Contains(t, output.String(), `"path":"/metadata/annotations/migration-proxy.io~1enabled","value":"false"`)
	require.Contains(t, output.String(), "would delete ingresses.networking.k8s.io "+c.apps+"/blog-migration\nnothing was written\n")

	unprotect := c.protect("blog")
	defer unprotect()
	require.Eventually(t, func() bool { // the API server compiles it after a moment
		_, err := c.NetworkingV1().Ingresses(c.apps).Patch(t.Context(), "blog", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsForbidden(err)
	}, policyTimeout, 50*time.Millisecond)
	err := PlanOne(t.Context(), &output, c.Installation, name)
	require.ErrorContains(t, err, "nothing was written, and would fail: restore "+c.apps+"/blog: ")
	require.ErrorContains(t, err, "hands off")
}
