package scan_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/scan"
)

// at is a path of an Ingress at port 80 of a Service.
type at struct{ host, path, service string }

func ingressOf(namespace, name string, paths ...at) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	for _, p := range paths {
		path := networkingv1.HTTPIngressPath{Path: p.path, PathType: new(networkingv1.PathTypePrefix)}
		path.Backend.Service = &networkingv1.IngressServiceBackend{Name: p.service, Port: networkingv1.ServiceBackendPort{Number: 80}}
		rule := networkingv1.IngressRule{Host: p.host}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}
		ingress.Spec.Rules = append(ingress.Spec.Rules, rule)
	}
	return ingress
}

// TestSuggest: the fewest services with which each path reaches its own backend.
func TestSuggest(t *testing.T) {
	t.Parallel()
	const a, b = "a.example.com", "b.example.com"
	for name, c := range map[string]struct {
		ingresses []*networkingv1.Ingress
		want      map[string]string // host and path prefix to the old Service
	}{
		"one place": {[]*networkingv1.Ingress{ingressOf("shop", "one", at{a, "/x", "web"}, at{a, "/y", "web"})}, map[string]string{a + "/": "web.shop"}},
		"a part elsewhere": {
			[]*networkingv1.Ingress{ingressOf("shop", "one", at{a, "/", "web"}, at{a, "/api", "api"}, at{a, "/api/v1", "api"}, at{a, "/cart", "web"})},
			map[string]string{a + "/": "web.shop", a + "/api": "api.shop"},
		},
		"a part of a part": {
			[]*networkingv1.Ingress{ingressOf("shop", "one", at{a, "/api/static", "web"}, at{a, "/api", "api"}, at{a, "/", "web"})},
			map[string]string{a + "/": "web.shop", a + "/api": "api.shop", a + "/api/static": "web.shop"},
		},
		"no root": {
			[]*networkingv1.Ingress{ingressOf("shop", "one", at{a, "/x", "web"}, at{a, "/y", "api"})},
			map[string]string{a + "/x": "web.shop", a + "/y": "api.shop"},
		},
		"two hosts and namespaces": {
			[]*networkingv1.Ingress{ingressOf("shop", "one", at{a, "/", "web"}), ingressOf("blog", "two", at{b, "/", "web"})},
			map[string]string{a + "/": "web.shop", b + "/": "web.blog"},
		},
		"two for one path: the first": {
			[]*networkingv1.Ingress{ingressOf("shop", "two", at{a, "/", "api"}), ingressOf("shop", "one", at{a, "/", "web"})},
			map[string]string{a + "/": "web.shop"},
		},
		"no host": {[]*networkingv1.Ingress{ingressOf("shop", "one", at{"", "/", "web"})}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := map[string]string{}
			for _, s := range scan.Suggest(scan.Objects{Ingresses: c.ingresses}, nil) {
				got[string(s.OldHost)+string(s.PathPrefix)] = s.OldBackend.Host
			}
			want := map[string]string{}
			for route, service := range c.want {
				want[route] = service + ".svc.cluster.local"
			}
			require.Equal(t, want, got)
		})
	}
}

// TestTextLoads: whatever hosts and paths Ingresses have, the suggested config is valid
// once new is named, also beside a config that has some of the names, and is refused
// before.
func TestTextLoads(t *testing.T) {
	t.Parallel()
	table, err := config.Load("test", []byte(`services: [{name: a.example.com, old_host: other.example.com, old_backend: "a:80", new_host: n.example, new_backend: "n.example:443"}]`))
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		var ingresses []*networkingv1.Ingress
		for i := range rapid.IntRange(1, 8).Draw(t, "ingresses") {
			host := rapid.OneOf(rapid.StringMatching(`(\*\.)?[a-c]{1,3}(\.[a-c0-9-]{0,2}[a-c]){1,30}`), rapid.Just("a.example.com")).Draw(t, "host")
			path := rapid.StringMatching(`(/[a-zA-Z0-9._~!&'()*+,=:@%|$ -]{0,40}){1,4}`).Draw(t, "path")
			service := rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,20}[a-z0-9]`).Draw(t, "service")
			ingresses = append(ingresses, ingressOf("shop", string(rune('a'+i)), at{host, path, service}))
		}
		suggested := scan.Suggest(scan.Objects{Ingresses: ingresses}, table)
		text := scan.Text(suggested)
		added, err := config.Load("test", []byte(scan.Loadable(text)))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if _, err := migration.NewTable(table.Global(), append(added.Services(), table.Services()...)); err != nil {
			t.Fatal(err)
		}
		if _, err := config.Load("test", []byte(text)); (err == nil) != (len(suggested) == 0) {
			t.Fatalf("the placeholder is not refused: %v", err)
		}
	})
}
