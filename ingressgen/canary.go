package ingressgen

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	companionSuffix = "-migration"
	ingressClass    = "kubernetes.io/ingress.class" // the old way to name the class
	weightTotal     = "10000"                       // of canary-weight, when a percentage is too coarse
	maxName         = 253
)

// split is what canary annotations say: who goes to new.
type split struct {
	weight, total          string
	header, value, pattern string
}

// pair decides about the paths of mode canary. The controller keeps one
// weight and one header for a whole companion, so all of its services must
// agree on them.
func (p *plan) pair() {
	var services []*migration.Service
	for _, s := range p.services {
		if !p.has(s, migration.ModeCanary) {
			continue
		}
		services = append(services, s)
		if problem := p.unsayable(s); problem != "" {
			p.hold(s, "%s", problem)
			p.warn("service %s is not migrated in mode canary: %s", s.Name, problem)
		}
	}
	p.agree(services)
	p.report.Companion = p.companion(services)
}

// has tells whether a path of the service is migrated by the mode.
func (p *plan) has(service *migration.Service, mode migration.Mode) bool {
	for i := range p.spots {
		if p.spots[i].service == service && p.spots[i].mode == mode {
			return true
		}
	}
	return false
}

// What ingress-nginx takes as values of its canary annotations; others it
// ignores without a word, and the header rule would mean something else.
var (
	canaryValue   = regexp.MustCompile(`^[A-Za-z0-9/._~: -]*$`)
	canaryPattern = regexp.MustCompile(`^[A-Za-z0-9/._~:^$\[\](){}*+?|&=\\-]*$`)
)

// unsayable names what canary annotations cannot say of a service. The config
// refuses the same for mode canary; here the mode may come from the Ingress.
func (p *plan) unsayable(s *migration.Service) string {
	const wayOut = ", which canary annotations cannot say; use mode proxy"
	switch {
	case s.Strategy == migration.StrategyUserHash || s.Strategy == migration.StrategyIP:
		return fmt.Sprintf("it has strategy %s%s", s.Strategy, wayOut)
	case len(s.IPRules) > 0:
		return "it has ip_rules" + wayOut
	case len(s.HeaderRules) > 1:
		return "it has a second header rule, for " + string(s.HeaderRules[1].Header) + wayOut
	case len(CompanionName(p.ingress.Name)) > maxName:
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
	return p.leak(s)
}

// leak finds a path that ingress-nginx would give the canary as well: it
// keeps the canary with the primary's Service and port, not with the path.
func (p *plan) leak(service *migration.Service) string {
	for i := range p.spots {
		for j := range p.spots {
			own, other := &p.spots[i], &p.spots[j]
			if own.service == service && other.service == nil && other.user != nil && *own.user == *other.user {
				return fmt.Sprintf("%v points at %s too, and ingress-nginx would send it to the canary as well; use mode proxy", other, show(*own.user))
			}
		}
	}
	return ""
}

// agree holds all services back when those that migrate differ.
func (p *plan) agree(services []*migration.Service) {
	var first *migration.Service
	for _, s := range services {
		if !p.migrating(s) {
			continue
		}
		if first == nil {
			first = s
		}
		if splitOf(s) == splitOf(first) {
			continue
		}
		problem := fmt.Sprintf("services %s and %s have different shares or rules, and one Ingress has one canary; give them the same, an Ingress each, or mode proxy", first.Name, s.Name)
		p.warn("nothing is migrated in mode canary: %s", problem)
		for _, each := range services {
			if p.migrating(each) {
				p.hold(each, "%s", problem)
			}
		}
		return
	}
}

func splitOf(s *migration.Service) split {
	share := s.EffectiveShare()
	out := split{weight: strconv.Itoa(int(share))}
	if out.total = weightTotal; share%100 == 0 {
		out.weight, out.total = strconv.Itoa(int(share/100)), ""
	}
	if len(s.HeaderRules) == 0 || !s.Enabled {
		return out
	}
	rule := s.HeaderRules[0]
	out.header, out.value = string(rule.Header), rule.Value
	if rule.Pattern != nil {
		out.pattern = rule.Pattern.String()
	}
	return out
}

// IsCompanion tells that the Ingress is one that we generated: by label and
// name, which anybody may write, and because it points at nothing but the
// Service that a companion of its name has. Its owner does not tell: a copy
// from a backup has none, and must go as well.
func IsCompanion(ingress *networkingv1.Ingress) bool {
	main, suffixed := strings.CutSuffix(ingress.Name, companionSuffix)
	if !suffixed || ingress.Labels[names.ManagedByLabel] != names.Manager {
		return false
	}
	own := companionBackend(main)
	spots := spotsOf(ingress)
	return len(spots) > 0 && !slices.ContainsFunc(spots, func(s spot) bool { return s.user == nil || *s.user != own })
}

// companionBackend is where the paths of an Ingress's companion point.
func companionBackend(ingress string) backend {
	return backend{Name: companionService(ingress), Port: networkingv1.ServiceBackendPort{Number: names.NewPort}}
}

// companion is the Ingress with the paths that migrate. When all services have
// fallen back it stays, with nobody sent to it: the controller changes a
// weight without a reload, and takes it back as fast. Without a proxy to
// point at it goes away.
func (p *plan) companion(services []*migration.Service) *networkingv1.Ingress {
	says, phase := split{weight: "0"}, status.FallenBack
	for _, s := range services {
		if p.migrating(s) {
			says, phase = splitOf(s), status.Migrating
		}
	}
	rules := p.companionRules(phase)
	if len(rules) == 0 {
		return nil
	}
	controller := true
	owner := metav1.OwnerReference{
		APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress",
		Name: p.ingress.Name, UID: p.ingress.UID, Controller: &controller,
	}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Name: CompanionName(p.ingress.Name), Namespace: p.ingress.Namespace,
			Labels: map[string]string{names.ManagedByLabel: names.Manager}, Annotations: p.companionAnnotations(says),
			OwnerReferences: []metav1.OwnerReference{owner},
		},
		// No tls: ingress-nginx takes a host's certificate from the Ingress that
		// is no canary, and cert-names.Manager would issue a second one.
		Spec: networkingv1.IngressSpec{IngressClassName: p.ingress.Spec.IngressClassName, Rules: rules},
	}
}

func (p *plan) companionAnnotations(says split) map[string]string {
	all := says.annotations(p.ingress.Annotations[ingressClass])
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	return all
}

// annotations are all that a companion may have of ours; "" is one that it has
// not.
func (s split) annotations(class string) map[string]string {
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

// CompanionAnnotations are the names of annotations that companions may have of
// ours, sorted. One that is there and not in Report.Companion is stale; all
// others are somebody else's.
func CompanionAnnotations() []string { return slices.Sorted(maps.Keys(split{}.annotations(""))) }

func (p *plan) companionRules(phase status.Phase) []networkingv1.IngressRule {
	var rules []networkingv1.IngressRule
	last := -1
	for i := range p.spots {
		s := &p.spots[i]
		if s.service == nil || s.mode != migration.ModeCanary || p.standing[s.service.Name].phase != phase {
			continue
		}
		if s.rule != last {
			rule := networkingv1.IngressRule{Host: s.host}
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			rules, last = append(rules, rule), s.rule
		}
		path := networkingv1.HTTPIngressPath{Path: s.at.Path, PathType: s.at.PathType}
		path.Backend.Service = new(companionBackend(p.ingress.Name))
		http := rules[len(rules)-1].HTTP
		http.Paths = append(http.Paths, path)
	}
	return rules
}
