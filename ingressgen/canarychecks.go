package ingressgen

import (
	"fmt"
	"regexp"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// canaryChecks say why a service cannot be migrated in mode canary, with the way
// out; the first that gives a reason decides.
var canaryChecks = []func(*rewriter, *migration.Service) string{
	(*rewriter).inexpressible,
	(*rewriter).unexpressedRule,
	(*rewriter).unknownController,
	(*rewriter).sharedInIngress,
	(*rewriter).sharedWithNeighbor,
	(*rewriter).secondCanary,
}

func (r *rewriter) canaryProblem(s *migration.Service) string {
	for _, check := range canaryChecks {
		if problem := check(r, s); problem != "" {
			return problem
		}
	}
	return ""
}

// inexpressible: canary annotations cannot say what the service says. Package
// config refuses the same in a service with mode canary; here the mode may come
// from the Ingress.
func (r *rewriter) inexpressible(s *migration.Service) string {
	const wayOut = ", which canary annotations cannot say; use mode proxy"
	switch {
	case s.GRPC():
		return "it has protocol grpc, and the port for canaries takes HTTP/1.1 only; use mode proxy"
	case s.Strategy == migration.StrategyUserHash || s.Strategy == migration.StrategyIP:
		return fmt.Sprintf("it has strategy %s%s", s.Strategy, wayOut)
	case len(s.IPRules) > 0:
		return "it has ip_rules" + wayOut
	case len(s.HeaderRules) > 1:
		return "it has a second header rule, for " + string(s.HeaderRules[1].Header) + wayOut
	case len(CompanionName(r.ingress.Name)) > maxNameLength:
		return "the name of the Ingress leaves no room for " + companionSuffix
	}
	return ""
}

// The values that ingress-nginx takes in its canary annotations. It silently
// ignores others, and the header rule would mean something else.
var (
	canaryValue   = regexp.MustCompile(`^[A-Za-z0-9/._~: -]*$`)
	canaryPattern = regexp.MustCompile(`^[A-Za-z0-9/._~:^$\[\](){}*+?|&=\\-]*$`)
)

func (r *rewriter) unexpressedRule(s *migration.Service) string {
	for _, rule := range s.HeaderRules {
		if rule.Target == migration.Old {
			return "its header rule sends to old, which canary annotations cannot say; use mode proxy"
		}
		if rule.Pattern == nil && !canaryValue.MatchString(rule.Value) || rule.Pattern != nil && !canaryPattern.MatchString(rule.Pattern.String()) {
			return "its header rule has characters that ingress-nginx does not take in canary annotations; use mode proxy"
		}
	}
	return ""
}

// unknownController: a controller that ignores canary annotations takes the
// companion for a second Ingress with the same rules, and sends all requests to
// either.
func (r *rewriter) unknownController(*migration.Service) string {
	switch controller := r.view.Controller; {
	case r.view.Neighbors == nil || controller == ControllerNginx || slices.Contains(r.view.CanaryControllers, controller):
		return ""
	case controller == "":
		return "the Ingress has no class that exists, so nothing says whether its controller knows canary annotations; set spec.ingressClassName, or use mode proxy"
	default:
		return fmt.Sprintf("the controller of its class, %s, is not known to understand canary annotations; use mode proxy (if it does understand them, name it in canaryControllers of the chart)", controller)
	}
}

// oneCanary is why two users of one Service are a problem.
const oneCanary = "a controller keeps one canary for all that points at a Service"

// sharedInIngress finds a path of this Ingress, of no service or in mode proxy,
// that has the same backend as a path of the service. ingress-nginx would send it
// to the canary too: it keeps a canary with the Service and port of the main
// Ingress, not with the path.
func (r *rewriter) sharedInIngress(s *migration.Service) string {
	backends := r.canaryBackends(s)
	for i := range r.paths {
		p := &r.paths[i]
		if p.mode != migration.ModeCanary && p.userBackend != nil && slices.Contains(backends, *p.userBackend) {
			return fmt.Sprintf("%v points at %s too, and %s; use mode proxy", p, formatBackend(*p.userBackend), oneCanary)
		}
	}
	if d := r.ingress.Spec.DefaultBackend; d != nil && d.Service != nil && slices.Contains(backends, *d.Service) {
		return fmt.Sprintf("spec.defaultBackend is %s too, and %s; use mode proxy", formatBackend(*d.Service), oneCanary)
	}
	return ""
}

// sharedWithNeighbor finds another Ingress that points at the service's
// backend, opted in or not: it would get this canary, or this one would get its.
func (r *rewriter) sharedWithNeighbor(s *migration.Service) string {
	if r.view.Neighbors == nil {
		return ""
	}
	for _, b := range r.canaryBackends(s) {
		if users := r.view.Neighbors.UsersOf(b); len(users) > 0 {
			return fmt.Sprintf("Ingress %s points at %s too, and %s; use mode proxy, or give one of them a Service of its own",
				firstName(users, r.ingress.Namespace), formatBackend(b), oneCanary)
		}
	}
	return ""
}

// secondCanary finds a canary that the user has himself for a path of the
// service. Which of the two counts is not defined.
func (r *rewriter) secondCanary(s *migration.Service) string {
	if r.view.Neighbors == nil {
		return ""
	}
	for p := range r.pathsOf(s, migration.ModeCanary) {
		own := slices.DeleteFunc(slices.Clone(r.view.Neighbors.CanariesAt(p.host)), func(canary *networkingv1.Ingress) bool { return !hasPath(canary, p) })
		if len(own) > 0 {
			return fmt.Sprintf("Ingress %s is a canary of %s%s already, and a path can have one; remove it, or use mode proxy",
				firstName(own, r.ingress.Namespace), p.host, p.spec.Path)
		}
	}
	return ""
}

func hasPath(ingress *networkingv1.Ingress, p *ingressPath) bool {
	return slices.ContainsFunc(listPaths(ingress), func(other ingressPath) bool {
		return other.host == p.host && other.prefix() == p.prefix()
	})
}
