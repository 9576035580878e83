package ingressgen

import (
	"fmt"
	"slices"
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
		if problem := r.canaryProblem(s); problem != "" {
			r.bypass(s, "%s", problem)
			r.warn("service %s is not migrated in mode canary: %s", s.Name, problem)
		}
	}
	r.requireEqualSplits(services)
	r.requireEqualPhases(services)
	r.report.Companion = r.companion(services)
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

// requireEqualPhases bypasses services that have a backend in common with one
// that does not migrate: the controller would send to new what has fallen back.
// One that is bypassed here may have another backend in common with the next.
func (r *rewriter) requireEqualPhases(services []*migration.Service) {
	for again := true; again; {
		again = false
		for _, s := range services {
			if other := r.sharerNotMigrating(s, services); other != nil && r.isMigrating(s) {
				r.bypass(s, "it has the same backend as service %s, which is %s, and %s",
					other.Name, r.states[other.Name].phase, oneCanary)
				again = true
			}
		}
	}
}

func (r *rewriter) sharerNotMigrating(service *migration.Service, services []*migration.Service) *migration.Service {
	i := slices.IndexFunc(services, func(other *migration.Service) bool {
		return !r.isMigrating(other) && r.haveBackendInCommon(service, other)
	})
	if i < 0 {
		return nil
	}
	return services[i]
}

func (r *rewriter) haveBackendInCommon(a, b *migration.Service) bool {
	backends := r.canaryBackends(b)
	return slices.ContainsFunc(r.canaryBackends(a), func(one backend) bool { return slices.Contains(backends, one) })
}

// canaryBackends are the user's backends of the service's paths in mode canary.
func (r *rewriter) canaryBackends(service *migration.Service) []backend {
	var backends []backend
	for p := range r.pathsOf(service, migration.ModeCanary) {
		if p.userBackend != nil && !slices.Contains(backends, *p.userBackend) {
			backends = append(backends, *p.userBackend)
		}
	}
	return backends
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
