package finish

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certmanagermetav1 "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The annotations of ingress-nginx that an HTTPRoute can say.
const (
	readTimeout = "nginx.ingress.kubernetes.io/proxy-read-timeout" // seconds
	useRegex    = "nginx.ingress.kubernetes.io/use-regex"
)

func (m *maker) httpRoute() {
	route := &gatewayv1.HTTPRoute{TypeMeta: metav1.TypeMeta{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute"}, ObjectMeta: m.meta()}
	namespace, name := gatewayv1.Namespace(m.target.Gateway.Namespace), m.known(m.target.Gateway.Name, "--gateway", "the Gateway")
	parent := gatewayv1.ParentReference{Name: gatewayv1.ObjectName(name)}
	if namespace != "" {
		parent.Namespace = &namespace
	}
	if section := gatewayv1.SectionName(m.target.Section); section != "" {
		parent.SectionName = &section
	}
	route.Spec.ParentRefs = []gatewayv1.ParentReference{parent}
	for _, host := range m.hosts() {
		route.Spec.Hostnames = append(route.Spec.Hostnames, gatewayv1.Hostname(host))
	}
	backend, timeouts := m.backendRef(), m.timeouts()
	for _, path := range m.paths {
		route.Spec.Rules = append(route.Spec.Rules, gatewayv1.HTTPRouteRule{
			Matches:     []gatewayv1.HTTPRouteMatch{{Path: m.pathMatch(path)}},
			BackendRefs: []gatewayv1.HTTPBackendRef{backend},
			Timeouts:    timeouts,
		})
	}
	for _, annotation := range slices.Sorted(maps.Keys(m.annotations)) {
		if annotation != readTimeout && annotation != useRegex {
			m.leaves("%s: %q has no counterpart here", annotation, m.annotations[annotation])
		}
	}
	m.object = route
}

func (m *maker) pathMatch(path networkingv1.HTTPIngressPath) *gatewayv1.HTTPPathMatch {
	kind, value := gatewayv1.PathMatchPathPrefix, path.Path
	if value == "" {
		value = "/"
	}
	switch {
	case path.PathType != nil && *path.PathType == networkingv1.PathTypeExact:
		kind = gatewayv1.PathMatchExact
	case m.annotations[useRegex] == "true" && strings.ContainsAny(value, `()[]|*+?^$\`):
		kind = gatewayv1.PathMatchRegularExpression
		m.leaves("path %s: ingress-nginx compares without case, and only the beginning; implementations of regular expressions differ", value)
	}
	return &gatewayv1.HTTPPathMatch{Type: &kind, Value: &value}
}

// backendRef is the Service. The API server takes any name here, so the placeholder also has
// a port that it refuses.
func (m *maker) backendRef() gatewayv1.HTTPBackendRef {
	port := m.target.Port
	name := m.known(m.target.Backend, "--backend", "the Service and its port")
	ref := gatewayv1.HTTPBackendRef{}
	ref.Name, ref.Port = gatewayv1.ObjectName(name), &port
	return ref
}

// timeouts is what the Ingress allows an answer.
func (m *maker) timeouts() *gatewayv1.HTTPRouteTimeouts {
	text, ok := m.annotations[readTimeout]
	if !ok {
		return nil
	}
	if seconds, err := strconv.Atoi(text); err != nil || seconds < 1 {
		m.leaves("%s: %q is no number of seconds", readTimeout, text)
		return nil
	}
	request := gatewayv1.Duration(text + "s")
	m.leaves("timeouts.request %s limits the whole answer; %s limited each pause in it", request, readTimeout)
	return &gatewayv1.HTTPRouteTimeouts{Request: &request}
}

// ingress is also what ingress2gateway takes.
func (m *maker) ingress() {
	object := &networkingv1.Ingress{TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "Ingress"}, ObjectMeta: m.meta()}
	class := m.known(m.target.Class, "--ingress-class", "the IngressClass")
	object.Annotations, object.Spec.IngressClassName = m.annotations, &class
	port := networkingv1.ServiceBackendPort{Number: m.target.Port}
	backend := networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
		Name: m.known(m.target.Backend, "--backend", "the Service and its port"), Port: port,
	}}
	object.Spec.TLS = []networkingv1.IngressTLS{{Hosts: m.hosts(), SecretName: m.secretName()}}
	for _, host := range m.hosts() {
		rule := networkingv1.IngressRule{Host: host}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
		for _, path := range m.paths {
			path.Backend = backend
			rule.HTTP.Paths = append(rule.HTTP.Paths, path)
		}
		object.Spec.Rules = append(object.Spec.Rules, rule)
	}
	m.object = object
}

func (m *maker) certificate() {
	object := &certmanagerv1.Certificate{TypeMeta: metav1.TypeMeta{APIVersion: "cert-manager.io/v1", Kind: "Certificate"}, ObjectMeta: m.meta()}
	object.Spec.SecretName, object.Spec.DNSNames = m.secretName(), m.hosts()
	object.Spec.IssuerRef = certmanagermetav1.IssuerReference{Kind: "ClusterIssuer", Name: m.known(m.target.Issuer, "--issuer", "a ClusterIssuer that uses DNS-01")}
	m.object = object
}

// endpoint is the object of external-dns.
type endpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Endpoints []endpointRecord `json:"endpoints"`
	} `json:"spec"`
}

type endpointRecord struct {
	DNSName    string   `json:"dnsName"`
	RecordTTL  int64    `json:"recordTTL"`
	RecordType string   `json:"recordType"`
	Targets    []string `json:"targets"`
}

func (m *maker) dnsEndpoint() {
	object := &endpoint{TypeMeta: metav1.TypeMeta{APIVersion: "externaldns.k8s.io/v1alpha1", Kind: "DNSEndpoint"}, ObjectMeta: m.meta()}
	kind, target := newTarget(m.service.NewBackend.Host)
	if m.target.Address != "" {
		kind, target = newTarget(m.target.Address)
	}
	object.Spec.Endpoints = []endpointRecord{{
		DNSName: string(m.service.OldHost), RecordTTL: int64(switchTTL.Seconds()), RecordType: kind, Targets: []string{strings.TrimSuffix(target, ".")},
	}}
	m.object = object
}
