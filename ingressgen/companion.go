package ingressgen

import (
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	companionSuffix = "-migration"
	ingressClass    = "kubernetes.io/ingress.class" // the annotation from before spec.ingressClassName
)

// IsCompanion tells whether the Ingress is one that the watcher created. The
// label and the name alone do not prove it, as anybody can write them: all paths
// must also point at the Service that a companion of this name has. The owner
// reference is not compared: a companion from a backup has none, and must be
// removed too.
func IsCompanion(ingress *networkingv1.Ingress) bool {
	main, suffixed := strings.CutSuffix(ingress.Name, companionSuffix)
	if !suffixed || !IsLabeled(ingress) {
		return false
	}
	want := companionBackend(main)
	paths := listPaths(ingress)
	return len(paths) > 0 && !slices.ContainsFunc(paths, func(p ingressPath) bool {
		return p.userBackend == nil || *p.userBackend != want
	})
}

// CompanionName is the name of an Ingress's companion.
func CompanionName(ingress string) string { return ingress + companionSuffix }

// CompanionOf is the name of the Ingress that a companion belongs to.
func CompanionOf(companion string) string { return strings.TrimSuffix(companion, companionSuffix) }

// CompanionAnnotations are the names of all annotations that the watcher writes
// into companions, sorted. One that a companion has and Report.Companion lacks is
// stale; all others belong to somebody else.
func CompanionAnnotations() []string {
	return slices.Sorted(maps.Keys(canarySplit{}.annotations("")))
}

// companionBackend is the backend of all paths of an Ingress's companion.
func companionBackend(ingress string) backend {
	return backend{Name: CompanionServiceName(ingress), Port: networkingv1.ServiceBackendPort{Number: names.NewPort}}
}

// companion is the Ingress with the paths that migrate, or nil if there are
// none. If all services have fallen back it stays with weight 0: the controller
// changes a weight without a reload, both now and when the services return. If
// they are Bypassed it goes away: no proxy is there to point at.
func (r *rewriter) companion(services []*migration.Service) *networkingv1.Ingress {
	split, phase := canarySplit{weight: "0"}, status.FallenBack
	for _, s := range services {
		if r.isMigrating(s) {
			split, phase = splitOf(s), status.Migrating
		}
	}
	rules := r.companionRules(phase)
	if len(rules) == 0 {
		return nil
	}
	return &networkingv1.Ingress{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress"},
		ObjectMeta: metav1.ObjectMeta{
			Name: CompanionName(r.ingress.Name), Namespace: r.ingress.Namespace,
			Labels:          map[string]string{names.ManagedByLabel: names.Manager},
			Annotations:     r.companionAnnotations(split),
			OwnerReferences: []metav1.OwnerReference{controllerReference(r.ingress)},
		},
		// No tls: ingress-nginx takes the certificate of a host from the Ingress
		// that is no canary, and cert-manager would issue a second certificate.
		Spec: networkingv1.IngressSpec{IngressClassName: r.ingress.Spec.IngressClassName, Rules: rules},
	}
}

func controllerReference(ingress *networkingv1.Ingress) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "Ingress",
		Name: ingress.Name, UID: ingress.UID, Controller: new(true),
	}
}

func (r *rewriter) companionAnnotations(split canarySplit) map[string]string {
	annotations := split.annotations(r.ingress.Annotations[ingressClass])
	maps.DeleteFunc(annotations, func(_, value string) bool { return value == "" })
	return annotations
}

// companionRules are the rules with the paths of mode canary whose service is in
// the phase.
func (r *rewriter) companionRules(phase status.Phase) []networkingv1.IngressRule {
	var rules []networkingv1.IngressRule
	last := -1 // the rule of the Ingress that the last of rules is made from
	for i := range r.paths {
		p := &r.paths[i]
		if p.service == nil || p.mode != migration.ModeCanary || r.states[p.service.Name].phase != phase {
			continue
		}
		if p.rule != last {
			rule := networkingv1.IngressRule{Host: p.host}
			rule.HTTP = &networkingv1.HTTPIngressRuleValue{}
			rules, last = append(rules, rule), p.rule
		}
		path := networkingv1.HTTPIngressPath{Path: p.spec.Path, PathType: p.spec.PathType}
		path.Backend.Service = new(companionBackend(r.ingress.Name))
		http := rules[len(rules)-1].HTTP
		http.Paths = append(http.Paths, path)
	}
	return rules
}
