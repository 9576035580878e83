package ingressgen

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	weightTotal   = "10000" // canary-weight-total when whole percents are too coarse
	maxNameLength = 253     // of an Ingress
)

// planCanary decides about the paths of mode canary. The controller keeps one
// weight and one header for a whole companion, so all of its services must have
// the same.
func (r *rewriter) planCanary() {
	var services []*migration.Service
	for _, s := range r.services {
		if !r.hasPaths(s, migration.ModeCanary) {
			continue
		}
		services = append(services, s)
		if problem := r.unsupportedByCanary(s); problem != "" {
			r.bypass(s, "%s", problem)
			r.warn("service %s is not migrated in mode canary: %s", s.Name, problem)
		}
	}
	r.requireEqualSplits(services)
	r.report.Companion = r.companion(services)
}

// The values that ingress-nginx takes in its canary annotations. It silently
// ignores others, and the header rule would mean something else.
var (
	canaryValue   = regexp.MustCompile(`^[A-Za-z0-9/._~: -]*$`)
	canaryPattern = regexp.MustCompile(`^[A-Za-z0-9/._~:^$\[\](){}*+?|&=\\-]*$`)
)

// unsupportedByCanary gives the reason why canary annotations cannot express the
// service; "" if they can. Package config refuses the same in a service with
// mode canary; here the mode may come from the Ingress.
func (r *rewriter) unsupportedByCanary(s *migration.Service) string {
	const wayOut = ", which canary annotations cannot say; use mode proxy"
	switch {
	case s.Strategy == migration.StrategyUserHash || s.Strategy == migration.StrategyIP:
		return fmt.Sprintf("it has strategy %s%s", s.Strategy, wayOut)
	case len(s.IPRules) > 0:
		return "it has ip_rules" + wayOut
	case len(s.HeaderRules) > 1:
		return "it has a second header rule, for " + string(s.HeaderRules[1].Header) + wayOut
	case len(CompanionName(r.ingress.Name)) > maxNameLength:
		return "the name of the Ingress leaves no room for " + companionSuffix
	}
	for _, rule := range s.HeaderRules {
		if rule.Target == migration.Old {
			return "its header rule sends to old" + wayOut
		}
		if rule.Pattern == nil && !canaryValue.MatchString(rule.Value) || rule.Pattern != nil && !canaryPattern.MatchString(rule.Pattern.String()) {
			return "its header rule has characters that ingress-nginx does not take in canary annotations; use mode proxy"
		}
	}
	return r.sharedBackendConflict(s)
}

// sharedBackendConflict finds a path of no service that has the same backend as
// a path of this one. ingress-nginx would send it to the canary too: it keeps a
// canary with the Service and port of the main Ingress, not with the path.
func (r *rewriter) sharedBackendConflict(service *migration.Service) string {
	for i := range r.paths {
		for j := range r.paths {
			own, other := &r.paths[i], &r.paths[j]
			if own.service == service && other.service == nil && other.userBackend != nil && *own.userBackend == *other.userBackend {
				return fmt.Sprintf("%v points at %s too, and ingress-nginx would send it to the canary as well; use mode proxy", other, formatBackend(*own.userBackend))
			}
		}
	}
	return ""
}

// requireEqualSplits bypasses all services if those that migrate have different
// splits.
func (r *rewriter) requireEqualSplits(services []*migration.Service) {
	var first *migration.Service
	for _, s := range services {
		if !r.isMigrating(s) {
			continue
		}
		if first == nil {
			first = s
		}
		if splitOf(s) == splitOf(first) {
			continue
		}
		problem := fmt.Sprintf("services %s and %s have different shares or rules, and one Ingress has one canary; give them the same, an Ingress each, or mode proxy", first.Name, s.Name)
		r.warn("nothing is migrated in mode canary: %s", problem)
		for _, each := range services {
			if r.isMigrating(each) {
				r.bypass(each, "%s", problem)
			}
		}
		return
	}
}

// canarySplit is the content of the canary annotations: which requests go to
// new. Empty fields are annotations that the companion does not have.
type canarySplit struct {
	weight, total          string
	header, value, pattern string
}

// splitOf translates a service's share and header rule.
//
//	share          20 %     0.25 %
//	weight         "20"     "25"
//	total          ""       "10000"
func splitOf(s *migration.Service) canarySplit {
	share := s.EffectiveShare()
	split := canarySplit{weight: strconv.Itoa(int(share)), total: weightTotal}
	if share%100 == 0 {
		split.weight, split.total = strconv.Itoa(int(share/100)), ""
	}
	if len(s.HeaderRules) == 0 || !s.Enabled {
		return split
	}
	rule := s.HeaderRules[0]
	split.header, split.value = string(rule.Header), rule.Value
	if rule.Pattern != nil {
		split.pattern = rule.Pattern.String()
	}
	return split
}

// annotations are the annotations that a companion may have; "" is absent.
func (s canarySplit) annotations(class string) map[string]string {
	return map[string]string{
		nginx + "canary":                   "true",
		nginx + "canary-weight":            s.weight,
		nginx + "canary-weight-total":      s.total,
		nginx + "canary-by-header":         s.header,
		nginx + "canary-by-header-value":   s.value,
		nginx + "canary-by-header-pattern": s.pattern,
		ingressClass:                       class,
	}
}
