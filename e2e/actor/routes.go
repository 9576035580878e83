package main

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// route is a path of an Ingress with the addresses of its backend.
type route struct {
	host      string // "" is any, "*.example.com" a wildcard for one label
	path      string
	exact     bool
	last      bool   // a defaultBackend: after all paths
	ingress   string // NAMESPACE/NAME
	backend   string // NAMESPACE/SERVICE:PORT
	endpoints []netip.AddrPort
	canary    *canary
}

// table has all routes, the most specific first within a host.
type table struct {
	hosts     map[string][]*route
	endpoints map[netip.AddrPort]bool // all that any route leads to
}

// newTable makes the routes of the class. Of two Ingresses with the same host and path
// the older one wins, as with ingress-nginx.
func newTable(class string, seen snapshot) *table {
	made := &table{hosts: map[string][]*route{}, endpoints: map[netip.AddrPort]bool{}}
	backends := newBackends(seen)
	ingresses := slices.Clone(seen.ingresses)
	slices.SortFunc(ingresses, older)
	var canaries []*networkingv1.Ingress
	for _, ingress := range ingresses {
		switch {
		case classOf(ingress) != class:
		case isCanary(ingress):
			canaries = append(canaries, ingress)
		default:
			for _, one := range routesOf(ingress, backends) {
				made.add(one)
			}
		}
	}
	for _, ingress := range canaries {
		for _, one := range routesOf(ingress, backends) {
			made.addCanary(ingress, one)
		}
	}
	for _, routes := range made.hosts {
		slices.SortStableFunc(routes, moreSpecific)
	}
	return made
}

func older(a, b *networkingv1.Ingress) int {
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
}

func classOf(ingress *networkingv1.Ingress) string {
	if ingress.Spec.IngressClassName != nil {
		return *ingress.Spec.IngressClassName
	}
	return ingress.Annotations["kubernetes.io/ingress.class"]
}

// moreSpecific sorts exact paths before prefixes, longer paths before shorter ones,
// and default backends last.
func moreSpecific(a, b *route) int {
	order := func(r *route) int {
		switch {
		case r.last:
			return 2
		case r.exact:
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(len(b.path), len(a.path)))
}

func (t *table) same(one *route) *route {
	for _, other := range t.hosts[one.host] {
		if other.path == one.path && other.exact == one.exact && other.last == one.last {
			return other
		}
	}
	return nil
}

func (t *table) add(one *route) {
	if t.same(one) != nil {
		return
	}
	t.hosts[one.host] = append(t.hosts[one.host], one)
	t.lead(one)
}

func (t *table) lead(one *route) {
	for _, address := range one.endpoints {
		t.endpoints[address] = true
	}
}

// addCanary attaches the route of a canary Ingress to its main route. It ignores a
// canary without a main route or with the same backend, as ingress-nginx does.
func (t *table) addCanary(ingress *networkingv1.Ingress, one *route) {
	main := t.same(one)
	if main == nil || main.canary != nil || main.backend == one.backend {
		return
	}
	main.canary = newCanary(ingress.Annotations, one)
	t.lead(one)
}

// find gives the route for a request, or nil: the exact host before a
// wildcard before no host.
func (t *table) find(host, path string) *route {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + parent, ""} {
		for _, one := range t.hosts[name] {
			if one.matches(path) {
				return one
			}
		}
	}
	return nil
}

func (r *route) matches(path string) bool {
	if r.exact {
		return path == r.path
	}
	prefix := strings.TrimSuffix(r.path, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// lost tells whether the new table lacks an address of this one.
func (t *table) lost(now *table) bool {
	if t == nil {
		return false
	}
	for address := range t.endpoints {
		if !now.endpoints[address] {
			return true
		}
	}
	return false
}

// String lists the routes for debugging.
func (t *table) String() string {
	var lines []string
	for host, routes := range t.hosts {
		for _, one := range routes {
			line := fmt.Sprintf("%-40s %-30s %s -> %s %v", host, one.path, one.ingress, one.backend, one.endpoints)
			if one.canary != nil {
				line += fmt.Sprintf("\n    canary %s -> %s %v", one.canary, one.canary.route.backend, one.canary.route.endpoints)
			}
			lines = append(lines, line)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func hostname(hostport string) string {
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		return name
	}
	return hostport
}

// routesOf gives the routes of an Ingress. It ignores resource backends.
func routesOf(ingress *networkingv1.Ingress, backends *backends) []*route {
	name := ingress.Namespace + "/" + ingress.Name
	var routes []*route
	add := func(one route, backend *networkingv1.IngressBackend) {
		if backend == nil || backend.Service == nil {
			return
		}
		one.ingress = name
		one.backend, one.endpoints = backends.find(ingress.Namespace, backend.Service)
		routes = append(routes, &one)
	}
	add(route{path: "/", last: true}, ingress.Spec.DefaultBackend)
	for _, rule := range ingress.Spec.Rules {
		add(route{host: rule.Host, path: "/", last: true}, ingress.Spec.DefaultBackend)
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			exact := path.PathType != nil && *path.PathType == networkingv1.PathTypeExact
			add(route{host: rule.Host, path: cmp.Or(path.Path, "/"), exact: exact}, &path.Backend)
		}
	}
	return routes
}

// backends finds addresses by Service and port.
type backends struct {
	services map[string]*corev1.Service
	slices   map[string][]*discoveryv1.EndpointSlice
}

func newBackends(seen snapshot) *backends {
	found := &backends{services: map[string]*corev1.Service{}, slices: map[string][]*discoveryv1.EndpointSlice{}}
	for _, service := range seen.services {
		found.services[service.Namespace+"/"+service.Name] = service
	}
	for _, slice := range seen.slices {
		key := slice.Namespace + "/" + slice.Labels[discoveryv1.LabelServiceName]
		found.slices[key] = append(found.slices[key], slice)
	}
	return found
}

// find gives the backend's name and its ready addresses, sorted.
func (b *backends) find(namespace string, backend *networkingv1.IngressServiceBackend) (string, []netip.AddrPort) {
	key := namespace + "/" + backend.Name
	name := fmt.Sprintf("%s:%s", key, cmp.Or(backend.Port.Name, fmt.Sprint(backend.Port.Number)))
	service := b.services[key]
	if service == nil {
		return name, nil
	}
	var found []netip.AddrPort
	for _, port := range service.Spec.Ports {
		if port.Name == backend.Port.Name && port.Name != "" || port.Port == backend.Port.Number {
			found = b.ready(key, port.Name)
		}
	}
	slices.SortFunc(found, netip.AddrPort.Compare)
	return name, slices.Compact(found)
}

func (b *backends) ready(key, portName string) []netip.AddrPort {
	var found []netip.AddrPort
	for _, slice := range b.slices[key] {
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
