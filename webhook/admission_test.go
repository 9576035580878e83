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

// Whatever goes wrong, an Ingress passes as it came and a config does not.
func TestFailures(t *testing.T) {
	t.Parallel()
	failures := map[string]func(context.Context, admission.Request) (answer, error){
		"an error": func(context.Context, admission.Request) (answer, error) { return answer{}, errors.New("no luck") },
		"a panic":  func(context.Context, admission.Request) (answer, error) { panic("no luck") },
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := New(Options{View: known(), Log: quiet})
			a.ingresses.decide, a.configs.decide = failure, failure

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

func TestMetricsRegister(t *testing.T) {
	t.Parallel()
	a := New(Options{View: known(), Log: quiet})
	a.configs.Handle(t.Context(), admission.Request{})
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(a))
	families, err := registry.Gather()
	require.NoError(t, err)
	require.Len(t, families, 2)
}

// What cannot be judged passes: what is no Ingress, and any before the view
// is known.
func TestIngressPassesWhenNothingIsKnown(t *testing.T) {
	t.Parallel()
	opted := []byte(`{"metadata":{"annotations":{"migration-proxy.io/enabled":"true"}}}`)
	for name, c := range map[string]struct {
		view *View
		raw  []byte
		want string
	}{
		"not JSON":      {known(), []byte("{"), "read the Ingress"},
		"wrong type":    {known(), []byte(`{"spec":{"rules":1}}`), "read the Ingress"},
		"no object":     {known(), nil, "read the Ingress"},
		"view not read": {newView(), opted, "has not answered yet"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := New(Options{View: c.view, Log: quiet})
			response := a.ingresses.Handle(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
				Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: c.raw},
			}})
			require.True(t, response.Allowed)
			require.Nil(t, response.Patch)
			require.Contains(t, strings.Join(response.Warnings, ""), c.want)
		})
	}
}
