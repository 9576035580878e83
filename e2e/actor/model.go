package main

import (
	"cmp"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// snapshot has all objects that a model depends on.
type snapshot struct {
	ingresses []*networkingv1.Ingress
	services  []*corev1.Service
	slices    []*discoveryv1.EndpointSlice
}

// model is what an ingress controller knows: which upstream a request belongs to, and
// the addresses of the upstreams.
type model struct {
	routes    routes
	text      string // of the routes
	upstreams upstreams
}

// newModel makes the model of a persona for the Ingresses of a class.
func newModel(class string, habits persona, seen snapshot) *model {
	made := &model{routes: routes{}, upstreams: upstreams{}}
	found := newServices(seen)
	ingresses := slices.DeleteFunc(slices.Clone(seen.ingresses), func(ingress *networkingv1.Ingress) bool {
		return classOf(ingress) != class
	})
	slices.SortFunc(ingresses, older)
	for _, ingress := range ingresses {
		policy := (*canary)(nil)
		if habits.canaries && isCanary(ingress) {
			policy = newCanary(ingress.Annotations)
		}
		made.addUpstreams(ingress, found, policy)
		if policy == nil {
			made.routes.addAll(routesOf(ingress), habits.newestWins)
		}
	}
	if habits.canaries {
		made.attachCanaries(ingresses)
	}
	if habits.regexHosts {
		made.routes.applyRegex(ingresses)
	}
	for _, list := range made.routes {
		slices.SortStableFunc(list, moreSpecific)
	}
	made.text = made.routes.String()
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

// addUpstreams adds the upstreams of all backends of an Ingress. The first Ingress that
// names an upstream decides its policy: nil if it is no canary.
func (m *model) addUpstreams(ingress *networkingv1.Ingress, found *services, policy *canary) {
	for _, backend := range backendsOf(ingress) {
		name := upstreamName(ingress.Namespace, backend)
		if _, known := m.upstreams[name]; known {
			continue
		}
		one := found.upstream(ingress.Namespace, backend)
		one.policy = policy
		m.upstreams[name] = one
	}
}

func backendsOf(ingress *networkingv1.Ingress) []*networkingv1.IngressServiceBackend {
	var found []*networkingv1.IngressServiceBackend
	if backend := ingress.Spec.DefaultBackend; backend != nil && backend.Service != nil {
		found = append(found, backend.Service)
	}
	for _, rule := range ingress.Spec.Rules {
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			if path.Backend.Service != nil {
				found = append(found, path.Backend.Service)
			}
		}
	}
	return found
}

// attachCanaries attaches the upstream of each canary to the upstream of the route with
// the same rule. It ignores a second one, and one that is the same upstream.
func (m *model) attachCanaries(ingresses []*networkingv1.Ingress) {
	for _, ingress := range ingresses {
		if !isCanary(ingress) {
			continue
		}
		for _, one := range routesOf(ingress) {
			main := m.routes.same(one)
			if main == nil || main.upstream == one.upstream {
				continue
			}
			to := m.upstreams[main.upstream]
			to.alternative = cmp.Or(to.alternative, one.upstream)
			m.upstreams[main.upstream] = to
		}
	}
}

// choose gives the upstream for a request to a route. A canary without an address gets no
// request. known is false if the balancer does not have the route's upstream.
func (m *model) choose(one *route, header http.Header) (chosen upstream, known bool) {
	chosen, known = m.upstreams[one.upstream]
	alternative := m.upstreams[chosen.alternative]
	if policy := alternative.policy; policy != nil && len(alternative.endpoints) > 0 && policy.takes(header) {
		return alternative, true
	}
	return chosen, known
}
