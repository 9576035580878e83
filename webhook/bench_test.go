package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// benchServices is how many services the config has.
const benchServices = 1000

// BenchmarkAdmission sends requests by turns to this webhook and to one that allows
// everything (controller-runtime and nothing else), over HTTPS and one connection
// that stays open, as the API server does. It reports p50 and p99 of both, and
// their ratios.
func BenchmarkAdmission(b *testing.B) {
	ctrllog.SetLogger(logr.Discard()) // otherwise controller-runtime collects the log of the empty one
	body := applyReview(b)
	own := newEndpoint(b, New(Options{Cache: largeCache(b), Log: quiet}).Register)
	empty := newEndpoint(b, func(server ctrlwebhook.Server) {
		server.Register(PathIngress, &admission.Webhook{Handler: admission.HandlerFunc(
			func(context.Context, admission.Request) admission.Response { return admission.Allowed("") },
		)})
	})
	text, err := own.post(PathIngress, body)
	require.NoError(b, err)
	require.Contains(b, string(text), `"patch":`)

	sides, took := []*endpoint{own, empty}, [2][]time.Duration{}
	for first := 0; b.Loop(); first = 1 - first { // the first one finds colder caches
		for _, i := range []int{first, 1 - first} {
			begin := time.Now()
			if _, err := sides[i].post(PathIngress, body); err != nil {
				b.Fatal(err)
			}
			took[i] = append(took[i], time.Since(begin))
		}
	}
	for _, quantile := range []struct {
		name string
		part float64
	}{{"p50", 0.5}, {"p99", 0.99}} {
		mine, theirs := at(took[0], quantile.part), at(took[1], quantile.part)
		b.ReportMetric(float64(mine.Microseconds()), quantile.name+"-us")
		b.ReportMetric(float64(theirs.Microseconds()), quantile.name+"-empty-us")
		b.ReportMetric(float64(mine)/float64(theirs), quantile.name+"-ratio")
	}
}

// BenchmarkDecide measures the decision, without network and codec.
func BenchmarkDecide(b *testing.B) {
	var review admissionv1.AdmissionReview
	require.NoError(b, json.Unmarshal(applyReview(b), &review))
	request := admission.Request{AdmissionRequest: *review.Request}
	handler := New(Options{Cache: largeCache(b), Log: quiet}).ingresses
	require.Empty(b, handler.Handle(b.Context(), request).Warnings)
	b.ReportAllocs()
	for b.Loop() {
		handler.Handle(b.Context(), request)
	}
}

// applyReview is the AdmissionReview of the API server when a user creates, by
// kubectl apply, an Ingress of one of the many services.
func applyReview(b *testing.B) []byte {
	b.Helper()
	text, err := os.ReadFile("testdata/review.json")
	require.NoError(b, err)
	var line bytes.Buffer
	require.NoError(b, json.Compact(&line, text))
	return line.Bytes()
}

func at(took []time.Duration, part float64) time.Duration {
	slices.Sort(took)
	return took[int(float64(len(took)-1)*part)]
}

// largeCache knows many services, all of them served.
func largeCache(b *testing.B) *ConfigCache {
	b.Helper()
	text, state := strings.Builder{}, status.Cluster{Services: map[string]status.ClusterService{}}
	text.WriteString("services:\n")
	for i := range benchServices {
		name := fmt.Sprintf("api-%04d", i)
		fmt.Fprintf(&text, "  - {name: %[1]s, old_host: %[1]s.example.com, old_backend: \"web.shop.svc:80\", "+
			"new_host: %[1]s.new.example.com, new_backend: \"%[1]s.new.example.com:443\", migration: {enabled: true, percentage: 20}}\n", name)
		state.Services[name] = status.ClusterService{Host: name + ".example.com", PathPrefix: "/", Phase: status.Migrating}
	}
	stateText, err := state.Text()
	require.NoError(b, err)
	cache := newCache()
	cache.takeConfig(configText(text.String()))
	cache.takeState(configMap(map[string]string{status.ClusterKey: stateText}))
	require.Len(b, cache.current.Load().table.Services(), benchServices)
	return cache
}
