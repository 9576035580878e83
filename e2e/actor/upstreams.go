package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// upstream is a port of a Service with its ready addresses.
type upstream struct {
	endpoints   []netip.AddrPort // sorted
	sticky      string           // the cookie that keeps clients on an endpoint; "" is none
	tls         bool             // Traefik uses TLS to it
	policy      *canary          // of a canary's upstream; nil is none
	alternative string           // the upstream of its canary; "" is none
}

// upstreams are all upstreams by name.
type upstreams map[string]upstream

// upstreamName is NAMESPACE-SERVICE-PORT, as ingress-nginx has it, with the port as the
// Ingress names it.
func upstreamName(namespace string, backend *networkingv1.IngressServiceBackend) string {
	return fmt.Sprintf("%s-%s-%s", namespace, backend.Name, cmp.Or(backend.Port.Name, fmt.Sprint(backend.Port.Number)))
}

// lost tells whether the newer upstreams lack an address of these.
func (all upstreams) lost(newer upstreams) bool {
	kept := map[netip.AddrPort]bool{}
	for _, one := range newer {
		for _, address := range one.endpoints {
			kept[address] = true
		}
	}
	for _, one := range all {
		for _, address := range one.endpoints {
			if !kept[address] {
				return true
			}
		}
	}
	return false
}

// String lists the upstreams for debugging.
func (all upstreams) String() string {
	var lines []string
	for name, one := range all {
		line := fmt.Sprintf("upstream %-50s %v", name, one.endpoints)
		if one.policy != nil {
			line += fmt.Sprintf(" policy %s", one.policy)
		}
		if one.alternative != "" {
			line += " canary " + one.alternative
		}
		lines = append(lines, line+"\n")
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// services finds addresses by Service and port.
type services struct {
	byName map[string]*corev1.Service
	slices map[string][]*discoveryv1.EndpointSlice
}

func newServices(seen snapshot) *services {
	found := &services{byName: map[string]*corev1.Service{}, slices: map[string][]*discoveryv1.EndpointSlice{}}
	for _, service := range seen.services {
		found.byName[service.Namespace+"/"+service.Name] = service
	}
	for _, slice := range seen.slices {
		key := slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
		found.slices[key] = append(found.slices[key], slice)
	}
	return found
}

// The annotations of Traefik on a Service.
const (
	stickyCookie     = "traefik.ingress.kubernetes.io/service.sticky.cookie"
	stickyCookieName = stickyCookie + ".name"
	serversScheme    = "traefik.ingress.kubernetes.io/service.serversscheme"
)

// upstream gives the ready addresses of a backend; none if there is no such Service or
// port.
func (s *services) upstream(namespace string, backend *networkingv1.IngressServiceBackend) upstream {
	key := namespace + "/" + backend.Name
	service := s.byName[key]
	if service == nil {
		return upstream{}
	}
	var found upstream
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return upstream{endpoints: s.external(service, backend.Port.Number)}
	}
	for _, port := range service.Spec.Ports {
		if port.Name == backend.Port.Name && port.Name != "" || port.Port == backend.Port.Number {
			found.endpoints, found.tls = s.ready(key, port.Name), usesTLS(service, port)
		}
	}
	slices.SortFunc(found.endpoints, netip.AddrPort.Compare)
	found.endpoints = slices.Compact(found.endpoints)
	if service.Annotations[stickyCookie] == "true" {
		found.sticky = cmp.Or(service.Annotations[stickyCookieName], "_sticky")
	}
	return found
}

// usesTLS tells whether Traefik uses TLS to a port: as the Service says, or else by a guess.
func usesTLS(service *corev1.Service, port corev1.ServicePort) bool {
	if scheme := service.Annotations[serversScheme]; scheme != "" {
		return scheme == "https"
	}
	return port.Port == 443 || strings.HasPrefix(port.Name, "https")
}

// external gives the addresses that an ExternalName stands for, with the targetPort, as
// ingress-nginx does. The name is that of a headless Service: NAME.NAMESPACE.svc and more.
func (s *services) external(service *corev1.Service, number int32) []netip.AddrPort {
	parts := strings.Split(service.Spec.ExternalName, ".")
	if len(parts) < 3 {
		return nil
	}
	named := s.byName[parts[1]+"/"+parts[0]]
	for _, own := range service.Spec.Ports {
		if own.Port == number && own.TargetPort.IntVal != 0 {
			number = own.TargetPort.IntVal
		}
	}
	if named == nil {
		return nil
	}
	return s.upstream(named.Namespace, &networkingv1.IngressServiceBackend{
		Name: named.Name, Port: networkingv1.ServiceBackendPort{Number: number},
	}).endpoints
}

func (s *services) ready(key, portName string) []netip.AddrPort {
	var found []netip.AddrPort
	for _, slice := range s.slices[key] {
		for _, port := range slice.Ports {
			if port.Port == nil || port.Name != nil && *port.Name != portName || port.Name == nil && portName != "" {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				found = append(found, addresses(endpoint, uint16(*port.Port))...)
			}
		}
	}
	return found
}

func addresses(endpoint discoveryv1.Endpoint, port uint16) []netip.AddrPort {
	if endpoint.Conditions.Ready != nil && !*endpoint.Conditions.Ready {
		return nil
	}
	var found []netip.AddrPort
	for _, text := range endpoint.Addresses {
		if address, err := netip.ParseAddr(text); err == nil {
			found = append(found, netip.AddrPortFrom(address, port))
		}
	}
	return found
}
