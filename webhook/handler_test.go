package webhook

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
)

// failingReviewer fails with an error, or panics if there is none.
type failingReviewer struct {
	reviewer
	err error
}

func (f failingReviewer) decide(context.Context, admission.Request) (decision, error) {
	if f.err == nil {
		panic("a nil pointer")
	}
	return decision{}, f.err
}

// TestFailures: after any failure an Ingress passes unchanged and a config is
// denied.
func TestFailures(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"an error": errors.New("no connection"), "a panic": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := New(Options{Cache: syncedCache(), Log: quiet})
			a.ingresses.reviewer = failingReviewer{a.ingresses.reviewer, failure}
			a.configs.reviewer = failingReviewer{a.configs.reviewer, failure}

			ingress := a.ingresses.Handle(t.Context(), admission.Request{})
			require.True(t, ingress.Allowed)
			require.Nil(t, ingress.Patch)
			require.Len(t, ingress.Warnings, 1)
			require.Contains(t, ingress.Warnings[0], "let through as it is")

			config := a.configs.Handle(t.Context(), admission.Request{})
			require.False(t, config.Allowed)
			require.Contains(t, config.Result.Message, "check the migration config")

			require.NoError(t, testutil.CollectAndCompare(a, strings.NewReader(`
# HELP migration_proxy_admission_requests_total Admission requests by kind (ingress, config) and result (rewritten, reverted, unchanged, passed, allowed, denied, failed).
# TYPE migration_proxy_admission_requests_total counter
migration_proxy_admission_requests_total{kind="config",result="failed"} 1
migration_proxy_admission_requests_total{kind="ingress",result="failed"} 1
`), "migration_proxy_admission_requests_total"))
		})
	}
}

// TestMetricsRegister: a registry takes the metrics.
func TestMetricsRegister(t *testing.T) {
	t.Parallel()
	a := New(Options{Cache: syncedCache(), Log: quiet})
	a.configs.Handle(t.Context(), admission.Request{})
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(a))
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 2)
}

// TestUndecidableIngressPasses: an object that is no Ingress passes, and so does
// every Ingress before the cache is synced.
func TestUndecidableIngressPasses(t *testing.T) {
	t.Parallel()
	opted := []byte(`{"metadata":{"annotations":{"migration-proxy.io/enabled":"true"}}}`)
	for name, c := range map[string]struct {
		cache *ConfigCache
		raw   []byte
		want  string
	}{
		"not JSON":         {syncedCache(), []byte("{"), "read the Ingress"},
		"wrong type":       {syncedCache(), []byte(`{"spec":{"rules":1}}`), "read the Ingress"},
		"no object":        {syncedCache(), nil, "read the Ingress"},
		"cache not synced": {newCache(), opted, "has not answered yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := New(Options{Cache: c.cache, Log: quiet})
			response := a.ingresses.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: c.raw},
			}})
			require.True(t, response.Allowed)
			require.Nil(t, response.Patch)
			require.Contains(t, strings.Join(response.Warnings, ""), c.want)
		})
	}
}
