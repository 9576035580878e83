package main

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// route is a path of an Ingress with the name of its upstream.
type route struct {
	host     string // "" is any, "*.example.com" a wildcard for one label
	path     string
	pathType networkingv1.PathType
	last     bool           // a defaultBackend: after all paths
	pattern  *regexp.Regexp // matches instead of the path; nil: none
	rewrite  string         // what the path becomes; "" keeps it
	ingress  string         // NAMESPACE/NAME
	upstream string
}

// routes are all routes by host, the most specific first.
type routes map[string][]*route

// moreSpecific sorts exact paths before prefixes, longer paths before shorter ones,
// and default backends last. Among patterns only the length counts.
func moreSpecific(a, b *route) int {
	order := func(r *route) int {
		switch {
		case r.last:
			return 2
		case r.pathType == networkingv1.PathTypeExact && r.pattern == nil:
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(len(b.path), len(a.path)))
}

// same gives the route with the same rule, or nil.
func (all routes) same(one *route) *route {
	for _, other := range all[one.host] {
		if other.path == one.path && other.last == one.last &&
			(other.pathType == networkingv1.PathTypeExact) == (one.pathType == networkingv1.PathTypeExact) {
			return other
		}
	}
	return nil
}

// add adds a route. Of two equal rules the first one stays, or the newest.
func (all routes) add(one *route, newestWins bool) {
	switch other := all.same(one); {
	case other == nil:
		all[one.host] = append(all[one.host], one)
	case newestWins:
		*other = *one
	}
}

func (all routes) addAll(more []*route, newestWins bool) {
	for _, one := range more {
		all.add(one, newestWins)
	}
}

// find gives the route for a request, or nil: the exact host before a wildcard before
// no host.
func (all routes) find(host, path string) *route {
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + parent, ""} {
		for _, one := range all[name] {
			if one.matches(path) {
				return one
			}
		}
	}
	return nil
}

func (r *route) matches(path string) bool {
	switch {
	case r.pattern != nil:
		return r.pattern.MatchString(path)
	case r.pathType == networkingv1.PathTypeExact:
		return path == r.path
	case r.pathType == networkingv1.PathTypeImplementationSpecific:
		return strings.HasPrefix(path, r.path)
	}
	prefix := strings.TrimSuffix(r.path, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// target gives the path that the backend sees.
func (r *route) target(path string) string {
	if r.rewrite == "" || r.pattern == nil {
		return path
	}
	match := r.pattern.FindStringSubmatchIndex(path)
	return string(r.pattern.ExpandString(nil, r.rewrite, path, match))
}

// String lists the routes. Equal routes have equal texts.
func (all routes) String() string {
	var lines []string
	for host, list := range all {
		for _, one := range list {
			lines = append(lines, fmt.Sprintf("%-40s %-30s %s -> %s %v%s\n", host, one.path, one.ingress, one.upstream, one.pattern, one.rewrite))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func hostname(hostport string) string {
	if name, _, err := net.SplitHostPort(hostport); err == nil {
		return name
	}
	return hostport
}

// routesOf gives the routes of an Ingress. It ignores resource backends.
func routesOf(ingress *networkingv1.Ingress) []*route {
	var found []*route
	add := func(one route, backend *networkingv1.IngressBackend) {
		if backend == nil || backend.Service == nil {
			return
		}
		one.ingress = ingress.Namespace + "/" + ingress.Name
		one.upstream = upstreamName(ingress.Namespace, backend.Service)
		found = append(found, &one)
	}
	add(route{path: "/", last: true}, ingress.Spec.DefaultBackend)
	for _, rule := range ingress.Spec.Rules {
		add(route{host: rule.Host, path: "/", last: true}, ingress.Spec.DefaultBackend)
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			one := route{host: rule.Host, path: cmp.Or(path.Path, "/")}
			if path.PathType != nil {
				one.pathType = *path.PathType
			}
			add(one, &path.Backend)
		}
	}
	return found
}
