package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

const class = "e2e"

// withServices is a snapshot with Services of one endpoint each: 10.0.0.1 is the first one.
func withServices(names ...string) *snapshot {
	seen := &snapshot{}
	for i, name := range names {
		seen.services = append(seen.services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		})
		seen.slices = append(seen.slices, &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			Ports:      []discoveryv1.EndpointPort{{Port: new(int32(80))}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}).String()}}},
		})
	}
	return seen
}

// add adds an Ingress, younger than those before, for a host and a path to a Service.
func (s *snapshot) add(name, host, path, service string, annotations ...string) *snapshot {
	one := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: "shop", Name: name, Annotations: map[string]string{}, CreationTimestamp: metav1.Unix(int64(len(s.ingresses)), 0),
	}}
	for i := 0; i < len(annotations); i += 2 {
		one.Annotations[annotations[i]] = annotations[i+1]
	}
	one.Spec.IngressClassName = new(class)
	one.Spec.Rules = []networkingv1.IngressRule{{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{
		HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
			Path: path, PathType: new(networkingv1.PathTypePrefix), Backend: networkingv1.IngressBackend{
				Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}},
			},
		}}},
	}}}
	s.ingresses = append(s.ingresses, one)
	return s
}

func (s *snapshot) model(of string) *model { return newModel(class, personas[of], *s) }

// answerer gives the last number of the address that answers, or 503 or 404.
func answerer(m *model, host, path string) int {
	found := m.routes.find(host, path)
	if found == nil {
		return http.StatusNotFound
	}
	to, known := m.choose(found, nil)
	if !known || len(to.endpoints) == 0 {
		return http.StatusServiceUnavailable
	}
	return int(to.endpoints[0].Addr().As4()[3])
}

// TestIngressNginxCanaries has what ingress-nginx does with canaries of upstreams that
// several Ingresses share.
func TestIngressNginxCanaries(t *testing.T) {
	t.Parallel()
	canary := func(weight string) []string { return []string{canaryEnabled, "true", canaryWeight, weight} }
	for _, c := range []struct {
		name string
		seen *snapshot
		want map[string]int
	}{
		{
			"a canary of one host answers another that shares the upstream",
			withServices("old", "mine").add("a", "a", "/", "old").add("b", "b", "/", "old").add("own", "a", "/", "mine", canary("100")...),
			map[string]int{"a": 2, "b": 2},
		},
		{
			"of two canaries of an upstream the second is ignored",
			withServices("old", "c1", "c2").add("a", "a", "/", "old").add("b", "b", "/", "old").
				add("1", "a", "/", "c1", canary("0")...).add("2", "b", "/", "c2", canary("100")...),
			map[string]int{"a": 1, "b": 1},
		},
		{
			"a canary with the Service of its main Ingress is dropped",
			withServices("old").add("a", "a", "/", "old").add("own", "a", "/", "old", canary("100")...),
			map[string]int{"a": 1},
		},
		{
			"a canary whose Service another Ingress names has no share",
			withServices("old", "other").add("a", "a", "/", "old").add("b", "b", "/", "other").add("own", "a", "/", "other", canary("100")...),
			map[string]int{"a": 1, "b": 2},
		},
		{
			"a canary without a main Ingress serves nothing",
			withServices("old").add("own", "a", "/", "old", canary("100")...),
			map[string]int{"a": http.StatusNotFound},
		},
		{
			"a canary without an endpoint gets no request",
			withServices("old").add("a", "a", "/", "old").add("own", "a", "/", "gone", canary("100")...),
			map[string]int{"a": 1},
		},
	} {
		for host, want := range c.want {
			require.Equal(t, want, answerer(c.seen.model(wire.IngressNginx), host, "/"), "%s: host %s", c.name, host)
		}
	}
}

// TestEqualRules: without canary annotations a companion is one of two equal routers.
func TestEqualRules(t *testing.T) {
	t.Parallel()
	seen := withServices("old", "new").add("main", "a", "/", "old").
		add("companion", "a", "/", "new", canaryEnabled, "true", canaryWeight, "0")
	for of, want := range map[string]int{wire.IngressNginx: 1, wire.Traefik: 2, wire.HAProxy: 1, wire.Plain: 1} {
		require.Equal(t, want, answerer(seen.model(of), "a", "/"), of)
	}
}

func TestRegexNeighbor(t *testing.T) {
	t.Parallel()
	seen := withServices("old", "other").add("rx1", "rx", "/one", "old").
		add("rx2", "rx", "/api(/|$)(.*)", "other", rewriteTarget, "/$2").add("elsewhere", "plain", "/one", "old")
	made := seen.model(wire.IngressNginx)
	for path, want := range map[string]int{"/one": 1, "/oneXYZ": 1, "/ONE/x": 1, "/api/v1": 2, "/two": http.StatusNotFound} {
		require.Equal(t, want, answerer(made, "rx", path), path)
	}
	require.Equal(t, http.StatusNotFound, answerer(made, "plain", "/oneXYZ"), "another host")
	require.Equal(t, http.StatusNotFound, answerer(seen.model(wire.Plain), "rx", "/oneXYZ"), "another controller")
	require.Equal(t, "/v1", made.routes.find("rx", "/API/v1").target("/API/v1"))
	require.Equal(t, "/ONE/x", made.routes.find("rx", "/ONE/x").target("/ONE/x"))
}

// TestSwitchIsLate is ingress-nginx#6557: between two models requests get 503, unless another
// rule names both Services.
func TestSwitchIsLate(t *testing.T) {
	t.Parallel()
	from := func() *snapshot { return withServices("old", "proxy") }
	before, after := from().add("a", "a", "/", "old"), from().add("a", "a", "/", "proxy")
	habits := personas[wire.IngressNginx]
	require.Len(t, habits.stages(nil, after.model(wire.IngressNginx), false), 1)
	for _, listFirst := range []bool{false, true} {
		stages := habits.stages(before.model(wire.IngressNginx), after.model(wire.IngressNginx), listFirst)
		require.Len(t, stages, 2)
		require.Equal(t, http.StatusServiceUnavailable, answerer(stages[0], "a", "/"), listFirst)
		require.Equal(t, 2, answerer(stages[1], "a", "/"), listFirst)
		require.True(t, habits.reloadsFor(before.model(wire.IngressNginx), stages[1]))
	}
	require.Len(t, personas[wire.Traefik].stages(before.model(wire.Traefik), after.model(wire.Traefik), true), 1)

	for _, one := range []*snapshot{before, after} {
		one.add("anchor", "anchor.invalid", "/o", "old").add("anchor-2", "anchor.invalid", "/p", "proxy")
	}
	for _, listFirst := range []bool{false, true} {
		half := habits.stages(before.model(wire.IngressNginx), after.model(wire.IngressNginx), listFirst)[0]
		require.Less(t, answerer(half, "a", "/"), 3, "old or proxy answers")
	}
}

// TestEndpointsAreNoReload: a change of endpoints or of a weight is served at once.
func TestEndpointsAreNoReload(t *testing.T) {
	t.Parallel()
	habits := personas[wire.IngressNginx]
	before := withServices("old").add("a", "a", "/", "old").model(wire.IngressNginx)
	moved := withServices("gone", "old").add("a", "a", "/", "old").model(wire.IngressNginx)
	require.Len(t, habits.stages(before, moved, true), 1)
	require.False(t, habits.reloadsFor(before, moved))
}

func TestStickyService(t *testing.T) {
	t.Parallel()
	seen := withServices("old").add("a", "a", "/", "old")
	seen.services[0].Annotations = map[string]string{stickyCookie: "true", stickyCookieName: "stick"}
	to := seen.model(wire.Traefik).upstreams["shop-old-80"]
	require.Equal(t, "stick", to.sticky)
	to.endpoints = append(to.endpoints, netip.MustParseAddrPort("10.0.0.9:80"))
	answer := httptest.NewRecorder()
	first := stick(to, answer, httptest.NewRequest(http.MethodGet, "/", nil))
	again := httptest.NewRequest(http.MethodGet, "/", nil)
	again.AddCookie(answer.Result().Cookies()[0])
	for range 20 {
		require.Equal(t, first, stick(to, httptest.NewRecorder(), again))
	}
}

func TestForwardedHeaders(t *testing.T) {
	t.Parallel()
	in := httptest.NewRequest(http.MethodGet, "http://shop.example.com/", nil)
	in.Header.Set("X-Forwarded-For", "6.6.6.6")
	in.Header["Under_score"] = []string{"1"}
	for of, want := range map[string]http.Header{
		wire.IngressNginx: {
			"X-Forwarded-For": {"192.0.2.1"}, "X-Original-Forwarded-For": {"6.6.6.6"}, "X-Scheme": {"http"}, "Under_score": nil,
			"X-Forwarded-Host": {"shop.example.com"}, "X-Forwarded-Port": {"80"}, "X-Forwarded-Scheme": {"http"}, "X-Real-Ip": {"192.0.2.1"},
		},
		wire.Traefik: {"X-Forwarded-For": {"6.6.6.6, 192.0.2.1"}, "X-Forwarded-Host": {"shop.example.com"}, "Under_score": {"1"}},
		wire.HAProxy: {"X-Forwarded-For": {"192.0.2.1"}, "X-Original-Forwarded-For": {"6.6.6.6"}, "X-Forwarded-Host": nil},
	} {
		out := in.Header.Clone()
		personas[of].forwarded(in, out)
		for name, values := range want {
			require.Equal(t, values, out[name], "%s %s", of, name)
		}
	}
}

// TestReloadEndsKeptConnections: idle clients are disconnected and reopen, and no request
// is answered that a backend has not seen.
func TestReloadEndsKeptConnections(t *testing.T) {
	t.Parallel()
	b := newBackend("old")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noteRequest(w, r)
		b.ServeHTTP(w, r)
	}))
	kept := newClients()
	kept.watch(server.Config)
	watched := server.Config.ConnState
	server.Start() // replaces ConnState by its own, which calls ours
	require.NotNil(t, watched)
	defer server.Close()
	one := begin(t.Context(), server.Listener.Addr().String(), wire.Load{Host: "x", Path: "/", Connections: 4, Rate: 1000, Reloads: true})
	for range 20 {
		sent := one.report().Sent
		require.Eventually(t, func() bool { return one.report().Sent > sent+20 }, time.Minute, time.Millisecond)
		kept.reload()
	}
	one.cancel()
	one.wait()
	report := one.report()
	require.Zero(t, report.Failed, report.Failures)
	require.Equal(t, report.Sent, b.counted().Paths["/"], "none twice, none unseen")
}

// TestTraefikGuessesTLS: by the number or the name of a port, unless the Service says it.
func TestTraefikGuessesTLS(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		port   corev1.ServicePort
		scheme string
		want   bool
	}{
		{corev1.ServicePort{Name: "web", Port: 80}, "", false},
		{corev1.ServicePort{Name: "web", Port: 443}, "", true},
		{corev1.ServicePort{Name: "https-api", Port: 8443}, "", true},
		{corev1.ServicePort{Name: "https", Port: 443}, "http", false},
		{corev1.ServicePort{Name: "web", Port: 80}, "https", true},
	} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{serversScheme: c.scheme}}}
		require.Equal(t, c.want, usesTLS(service, c.port), c)
	}
}
