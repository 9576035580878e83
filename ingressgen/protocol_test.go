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
