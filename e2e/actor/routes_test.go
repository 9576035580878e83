package main

import (
	"bytes"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// readCluster loads testdata/cluster.yaml.
func readCluster(t *testing.T) snapshot {
	t.Helper()
	text, err := os.ReadFile("testdata/cluster.yaml")
	require.NoError(t, err)
	var seen snapshot
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var kind metav1.TypeMeta
		require.NoError(t, yaml.Unmarshal(document, &kind))
		switch kind.Kind {
		case "Service":
			seen.services = append(seen.services, decode[corev1.Service](t, document))
		case "EndpointSlice":
			seen.slices = append(seen.slices, decode[discoveryv1.EndpointSlice](t, document))
		case "Ingress":
			seen.ingresses = append(seen.ingresses, decode[networkingv1.Ingress](t, document))
		}
	}
	return seen
}

func decode[T any](t *testing.T, text []byte) *T {
	t.Helper()
	object := new(T)
	require.NoError(t, yaml.UnmarshalStrict(text, object))
	return object
}

func plainModel(t *testing.T, class string) *model {
	t.Helper()
	return newModel(class, personas[wire.Plain], readCluster(t))
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	made := plainModel(t, "e2e")
	for _, c := range []struct{ host, path, ingress, endpoints string }{
		{"shop.example.com", "/", "shop/main", "[10.0.0.1:8000]"},
		{"shop.example.com", "/other", "shop/main", "[10.0.0.1:8000]"},
		{"shop.example.com", "/api/x", "shop/main", "[10.0.1.1:8001]"},
		{"shop.example.com", "/apis", "shop/main", "[10.0.0.1:8000]"},
		{"shop.example.com", "/api/exact", "shop/main", "[10.0.0.1:8000]"},
		{"shop.example.com", "/files", "shop/main", "[10.0.0.1:8000]"}, // no resource backend here
		{"x.example.com", "/wild", "shop/main", "[10.0.1.1:8001]"},
		{"x.example.com", "/", "shop/main", "[10.0.0.1:8001]"}, // the default backend
		{"x.y.example.com", "/wild", "shop/main", "[10.0.0.1:8001]"},
		{"nobody.example.org", "/any", "shop/main", "[]"},
		{"foreign.example.org", "/", "shop/main", "[10.0.0.1:8001]"},
	} {
		found := made.routes.find(c.host, c.path)
		require.NotNil(t, found, "%s%s", c.host, c.path)
		require.Equal(t, c.ingress, found.ingress, "%s%s", c.host, c.path)
		to, known := made.choose(found, nil)
		require.True(t, known)
		require.Equal(t, c.endpoints, sprint(to.endpoints), "%s%s", c.host, c.path)
	}
	require.Nil(t, plainModel(t, "none").routes.find("shop.example.com", "/"))
}

func TestUpstreamsNoticeALostEndpoint(t *testing.T) {
	t.Parallel()
	seen := readCluster(t)
	before := newModel("e2e", personas[wire.Plain], seen)
	require.False(t, before.upstreams.lost(plainModel(t, "e2e").upstreams))
	seen.slices[1] = seen.slices[1].DeepCopy()
	seen.slices[1].Endpoints = nil
	require.True(t, before.upstreams.lost(newModel("e2e", personas[wire.Plain], seen).upstreams))
}

func TestCanaryTakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		annotations map[string]string
		header      string
		want        bool
	}{
		{"weight 100", map[string]string{canaryWeight: "100"}, "", true},
		{"weight 0", map[string]string{canaryWeight: "0"}, "always", false},
		{"no weight", nil, "", false},
		{"weight 200 of 200", map[string]string{canaryWeight: "200", canaryTotal: "200"}, "", true},
		{"a total below 100 is ignored", map[string]string{canaryWeight: "0", canaryTotal: "5"}, "", false},
		{"always", map[string]string{canaryByHeader: "X-Canary"}, "always", true},
		{"never", map[string]string{canaryByHeader: "X-Canary", canaryWeight: "100"}, "never", false},
		{"another word", map[string]string{canaryByHeader: "X-Canary", canaryWeight: "100"}, "maybe", true},
		{"the value", map[string]string{canaryByHeader: "X-Canary", canaryValue: "new"}, "new", true},
		{"not the value", map[string]string{canaryByHeader: "X-Canary", canaryValue: "new"}, "always", false},
		{"the pattern", map[string]string{canaryByHeader: "X-Canary", canaryPattern: "^b[0-9]$"}, "b1", true},
		{"not the pattern", map[string]string{canaryByHeader: "X-Canary", canaryPattern: "^b[0-9]$"}, "b", false},
	} {
		header := http.Header{"X-Canary": {c.header}}
		require.Equal(t, c.want, newCanary(c.annotations).takes(header), c.name)
	}
}
