package ingressgen_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// proxyOfAPI is the proxy Service of api:80.
const proxyOfAPI = "migration-proxy-api-d327f325"

// TestForeignProtocols has the ways in which other controllers than ingress-nginx are told,
// on an Ingress, what a backend speaks. Where the controller would speak to the proxy in a
// way that it does not take, the Ingress stays as it is and says why.
func TestForeignProtocols(t *testing.T) {
	t.Parallel()
	require.Equal(t, proxyOfAPI, ingressgen.ProxyService("shop", backendAPI, nil).Name)
	const (
		http, grpc = false, true
		fits       = ""
		noTLS      = "makes the controller use TLS to the proxy"
		otherwise  = "in a way that it does not take"
		unnamed    = "its paths lead to Service " + proxyOfAPI
	)
	for _, c := range []struct {
		annotation, value string
		grpc              bool
		want              string
	}{
		{"haproxy-ingress.github.io/backend-protocol", "h1", http, fits},
		{"haproxy-ingress.github.io/backend-protocol", "h2", grpc, fits},
		{"haproxy-ingress.github.io/backend-protocol", "GRPC", grpc, fits},
		{"haproxy-ingress.github.io/backend-protocol", "h2", http, "write protocol: grpc"},
		{"haproxy-ingress.github.io/backend-protocol", "http", grpc, "write h2 here"},
		{"haproxy-ingress.github.io/backend-protocol", "h1-ssl", http, noTLS},
		{"ingress.kubernetes.io/backend-protocol", "h2-ssl", grpc, noTLS},
		{"ingress.kubernetes.io/backend-protocol", "fcgi", http, otherwise},
		{"haproxy-ingress.github.io/secure-backends", "true", http, noTLS},
		{"haproxy-ingress.github.io/secure-backends", "false", http, fits},
		{"haproxy-ingress.github.io/proxy-protocol", "v2", http, otherwise},
		{"haproxy-ingress.github.io/proxy-protocol", "no", http, fits},
		{"haproxy.org/server-proto", "h2", grpc, fits},
		{"haproxy.org/server-ssl", "true", http, noTLS},
		{"haproxy.org/send-proxy-protocol", "proxy-v1", http, otherwise},
		{"k8s.apisix.apache.org/upstream-scheme", "grpc", grpc, fits},
		{"k8s.apisix.apache.org/upstream-scheme", "grpcs", grpc, noTLS},
		{"appgw.ingress.kubernetes.io/backend-protocol", "https", http, noTLS},
		{"nginx.org/grpc-services", "other", http, fits},
		{"nginx.org/grpc-services", "api", grpc, unnamed},
		{"nginx.org/grpc-services", "api, " + proxyOfAPI, grpc, fits},
		{"nginx.org/grpc-services", "api," + proxyOfAPI, http, "write protocol: grpc"},
		{"nginx.org/websocket-services", "other,api", http, unnamed},
		{"nginx.org/websocket-services", "api," + proxyOfAPI, http, fits},
		{"nginx.org/rewrites", "serviceName=other rewrite=/; serviceName=api rewrite=/v1/", http, unnamed},
		{"nginx.com/sticky-cookie-services", "serviceName=api srv_id expires=1h path=/", http, unnamed},
		{"nginx.org/ssl-services", "api", http, fits}, // the scheme of old_backend decides
	} {
		t.Run(fmt.Sprint(c.annotation, " ", c.value, " ", c.grpc), func(t *testing.T) {
			t.Parallel()
			report := ingressgen.Rewrite(ingressOfAPI(map[string]string{c.annotation: c.value}), viewOfAPI(t, c.grpc))
			if c.want == fits {
				require.Equal(t, status.Migrating, report.Phase, report.Reason)
				return
			}
			require.Equal(t, status.Bypassed, report.Phase)
			require.Contains(t, report.Reason, c.want)
			require.Contains(t, report.Reason, c.annotation)
		})
	}
}

// TestF5SpeaksGRPCToNamedServices: without the annotation it speaks HTTP/1.1.
func TestF5SpeaksGRPCToNamedServices(t *testing.T) {
	t.Parallel()
	view := viewOfAPI(t, true)
	view.Controller = "nginx.org/ingress-controller"
	report := ingressgen.Rewrite(ingressOfAPI(nil), view)
	require.Equal(t, status.Bypassed, report.Phase)
	require.Contains(t, report.Reason, "name api there")
}

var backendAPI = networkingv1.IngressServiceBackend{Name: "api", Port: networkingv1.ServiceBackendPort{Number: 80}}

func ingressOfAPI(annotations map[string]string) *networkingv1.Ingress {
	all := map[string]string{ingressgen.AnnotationEnabled: "true"}
	for name, value := range annotations {
		all[name] = value
	}
	prefix := networkingv1.PathTypePrefix
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", Annotations: all},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{
			Host: "api.example.com", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
				Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &prefix, Backend: networkingv1.IngressBackend{Service: &backendAPI}}},
			}},
		}}},
	}
}

// viewOfAPI is a cluster in which service api is served.
func viewOfAPI(t *testing.T, grpc bool) ingressgen.View {
	t.Helper()
	text := "services:\n  - {name: api, old_host: api.example.com, old_backend: http://api.shop.svc:80, new_host: n.example.com, new_backend: n.example.com:443"
	if grpc {
		text += ", protocol: grpc"
	}
	table, err := config.Load("config.yaml", []byte(text+"}\n"))
	require.NoError(t, err)
	return serving(table)
}

// TestProxyServiceSaysHTTP: controllers guess a protocol from the port that the user gave.
func TestProxyServiceSaysHTTP(t *testing.T) {
	t.Parallel()
	const scheme = "traefik.ingress.kubernetes.io/service.serversscheme"
	for _, c := range []struct {
		port networkingv1.ServiceBackendPort
		want string // Traefik's scheme; "" where it guesses http
	}{
		{networkingv1.ServiceBackendPort{Number: 443}, "http"},
		{networkingv1.ServiceBackendPort{Name: "https"}, "http"},
		{networkingv1.ServiceBackendPort{Name: "https-web"}, "http"},
		{networkingv1.ServiceBackendPort{Number: 8443}, ""},
		{networkingv1.ServiceBackendPort{Name: "grpc"}, ""},
	} {
		old := networkingv1.IngressServiceBackend{Name: "api", Port: c.port}
		service := ingressgen.ProxyService("shop", old, nil)
		require.Equal(t, c.want, service.Annotations[scheme], c.port)
		require.Equal(t, "http", appProtocol(service), c.port)
		require.Equal(t, "http", *ingressgen.ProxySlices(service, proxySource())[0].Ports[0].AppProtocol, "as the cluster does for its own slices")

		ingressgen.SetGRPC(service)
		require.Equal(t, "h2c", service.Annotations[scheme], c.port)
		require.Equal(t, "kubernetes.io/h2c", appProtocol(service), c.port)
	}
}

func appProtocol(service *corev1.Service) string { return *service.Spec.Ports[0].AppProtocol }

// services implement ingressgen.PortLookup.
type services map[string]*corev1.Service

func (s services) PortNumber(string, string) (int32, bool) { return 0, false }
func (s services) ExternalPort(string, int32) int32        { return 0 }
func (s services) Service(name string) *corev1.Service     { return s[name] }

// TestServiceSaysOtherwise: the old Service tells its controller that it speaks HTTP/2 or
// takes TLS, and the migration config says otherwise. The proxy would speak to old in
// another way than the controller did.
func TestServiceSaysOtherwise(t *testing.T) {
	t.Parallel()
	const (
		haproxy, haproxys = "haproxy-ingress.github.io/controller", "haproxy.org/ingress-controller/haproxy"
		traefik, kong     = "traefik.io/ingress-controller", "ingress-controllers.konghq.com/kong"
		contour, istio    = "projectcontour.io/contour/contour", "istio.io/ingress-controller"
		nginx             = ingressgen.ControllerNginx
		fits              = ""
		grpc, tls         = "write protocol: grpc in service api", "write old_backend: https://api.shop.svc:80"
	)
	for _, c := range []struct {
		controller, annotation, value string
		want                          string
	}{
		{haproxy, "haproxy-ingress.github.io/backend-protocol", "h2", grpc},
		{haproxy, "haproxy-ingress.github.io/backend-protocol", "h1", fits},
		{haproxy, "ingress.kubernetes.io/backend-protocol", "h1-ssl", tls},
		{haproxys, "haproxy.org/server-proto", "h2", grpc},
		{haproxys, "haproxy.org/server-ssl", "true", tls},
		{traefik, "traefik.ingress.kubernetes.io/service.serversscheme", "h2c", grpc},
		{traefik, "traefik.ingress.kubernetes.io/service.serversscheme", "https", tls},
		{kong, "konghq.com/protocol", "grpc", grpc},
		{contour, "projectcontour.io/upstream-protocol.h2c", "81, web", grpc},
		{contour, "projectcontour.io/upstream-protocol.h2c", "81", fits},
		{contour, "projectcontour.io/upstream-protocol.tls", "80", tls},
		{contour, "appProtocol", "kubernetes.io/h2c", grpc},
		{istio, "appProtocol", "grpc", grpc},
		{istio, "appProtocol", "https", tls},
		{istio, "appProtocol", "http", fits},
		{nginx, "appProtocol", "kubernetes.io/h2c", fits}, // it does not read it
		{nginx, "haproxy-ingress.github.io/backend-protocol", "h2", fits},
	} {
		t.Run(fmt.Sprint(c.controller, " ", c.annotation, " ", c.value), func(t *testing.T) {
			t.Parallel()
			port := corev1.ServicePort{Name: "web", Port: 80}
			old := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api", Annotations: map[string]string{c.annotation: c.value}}}
			if c.annotation == "appProtocol" {
				port.AppProtocol = &c.value
			}
			old.Spec.Ports = []corev1.ServicePort{port}
			view := viewOfAPI(t, false)
			view.Controller, view.Ports = c.controller, services{"api": old}
			report := ingressgen.Rewrite(ingressOfAPI(nil), view)
			if c.want == fits {
				require.Equal(t, status.Migrating, report.Phase, report.Reason)
				return
			}
			require.Equal(t, status.Bypassed, report.Phase)
			require.Contains(t, report.Reason, c.want)
		})
	}
}

// TestTraefikGuessesTLS: the port alone makes Traefik use TLS, unless the Service says
// otherwise.
func TestTraefikGuessesTLS(t *testing.T) {
	t.Parallel()
	const traefik, scheme = "traefik.io/ingress-controller", "traefik.ingress.kubernetes.io/service.serversscheme"
	old := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "api"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "https", Port: 80}}}}
	view := viewOfAPI(t, false)
	view.Controller, view.Ports = traefik, services{"api": old}
	require.Contains(t, ingressgen.Rewrite(ingressOfAPI(nil), view).Reason, "the port of Service api makes the controller use TLS to it")
	old.Annotations = map[string]string{scheme: "http"}
	require.Equal(t, status.Migrating, ingressgen.Rewrite(ingressOfAPI(nil), view).Phase)
}
