package ingressgen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// plan is one Ingress on its way through the steps.
type plan struct {
	ingress  *networkingv1.Ingress
	view     View
	record   record
	spots    []spot
	services []*migration.Service // that paths belong to, by name
	standing map[migration.Name]standing
	adjusted map[string]string // annotations that the proxy hop needs otherwise
	// unmatched is why the first path belongs to no service.
	unmatched string
	quiet     bool // nothing is written, only restored
	report    Report
}

// standing is where a service's paths in this Ingress are, and why.
type standing struct {
	phase  status.Phase
	reason string
	held   bool // by hold
}

// Rewrite computes what the Ingress must become under the view. It changes
// neither. Applied to what its own edits lead to, it gives no edits.
func Rewrite(ingress *networkingv1.Ingress, view View) Report {
	return decide(ingress, view, OptedIn(ingress) && !IsCompanion(ingress))
}

// Release is Rewrite of the Ingress as if it had not opted in: it leads back to
// what the user wrote. The view's table helps where annotation original was
// lost, and may be nil.
func Release(ingress *networkingv1.Ingress, view View) Report {
	return decide(ingress, view, false)
}

func decide(ingress *networkingv1.Ingress, view View, optedIn bool) Report {
	p := &plan{
		ingress: ingress, view: view, standing: map[migration.Name]standing{},
		adjusted: map[string]string{},
	}
	if optedIn || Touched(ingress) {
		p.spots = spotsOf(ingress)
		p.undo()
	}
	if value := ingress.Annotations[AnnotationEnabled]; !optedIn && value != "" && value != "false" && value != "true" {
		p.warn("annotation %s is %q, which does nothing; write true to opt in", AnnotationEnabled, value)
	}
	if optedIn {
		for _, step := range steps {
			step(p)
		}
	}
	p.compare()
	p.report.Proxies = p.proxies()
	return p.report
}

// steps decide, in this order; the first that refuses the whole Ingress makes
// the later ones find nothing to migrate.
var steps = []func(*plan){
	(*plan).refuse, (*plan).match, (*plan).stand, (*plan).judge, (*plan).await, (*plan).pair, (*plan).adjust, (*plan).conclude,
}

// stand asks the cluster's state where each service is.
func (p *plan) stand() {
	for _, s := range p.services {
		p.standing[s.Name] = p.view.standing(s)
		p.report.Services = append(p.report.Services, s.Name)
	}
}

func (v View) standing(s *migration.Service) standing {
	state, ok := v.State.Services[string(s.Name)]
	switch {
	case !ok:
		return standing{phase: status.Bypassed, reason: ReasonNotServed}
	case state.Host != string(s.OldHost) || state.PathPrefix != string(s.PathPrefix):
		return standing{phase: status.Bypassed, reason: fmt.Sprintf("the proxy still serves it at %s%s", state.Host, state.PathPrefix)}
	case state.Phase == status.Migrating:
		return standing{phase: status.Migrating}
	case state.Phase == status.FallenBack:
		return standing{phase: status.FallenBack, reason: cmp.Or(state.Reason, "new fails")}
	}
	return standing{phase: status.Bypassed, reason: cmp.Or(state.Reason, ReasonNoReplica)}
}

// hold keeps a service's paths as the user wrote them, for a reason that lies
// in the Ingress or the config.
func (p *plan) hold(s *migration.Service, format string, args ...any) {
	if !p.standing[s.Name].held { // the first reason stays
		p.standing[s.Name] = standing{phase: status.Bypassed, reason: fmt.Sprintf(format, args...), held: true}
	}
}

func (p *plan) migrating(s *migration.Service) bool {
	return p.standing[s.Name].phase == status.Migrating
}

// Why a service is Bypassed, where the reason lies in the replicas.
const (
	ReasonNoReplica = "no replica of the migration proxy is ready"
	ReasonNotServed = "no ready replica of the migration proxy serves it (yet)"
)

// ReasonWaitingForService is why an Ingress is Bypassed for the second or two that it
// takes the watcher to make its namespace ready. Admission cannot make
// Services, and one that is not there answers 503.
const ReasonWaitingForService = "the proxy's Service is being made in this namespace"

// await holds back what would point at a Service that is not there yet. A
// companion is made by the watcher only, which provides for it first; it says
// when it cannot.
func (p *plan) await() {
	if p.view.Blocked != "" {
		for _, s := range p.services {
			if p.migrating(s) {
				p.hold(s, "%s", p.view.Blocked)
			}
		}
		return
	}
	if p.view.CreatesService || p.view.State.Provides(p.ingress.Namespace) {
		return
	}
	for _, s := range p.services {
		if p.migrating(s) && p.has(s, migration.ModeProxy) {
			p.hold(s, ReasonWaitingForService)
		}
	}
}

// conclude sums the services up: an Ingress shows the worst phase of its
// services.
func (p *plan) conclude() {
	if p.report.Phase != "" {
		return // refused
	}
	if len(p.services) == 0 {
		p.report.Phase, p.report.Reason = status.Bypassed, "no path belongs to a service of the migration config"
		if p.unmatched != "" {
			p.report.Reason += ": " + p.unmatched
		}
		return
	}
	p.report.Phase = status.Migrating
	for _, s := range p.services {
		at := p.standing[s.Name]
		if at.phase.WorseThan(p.report.Phase) {
			p.report.Phase = at.phase
		}
	}
	p.report.Reason = p.reasons()
}

// reasons is the one that all services have, or each one's with its name.
func (p *plan) reasons() string {
	var different []string
	var all []string
	for _, s := range p.services {
		reason := p.standing[s.Name].reason
		if !slices.Contains(different, reason) {
			different = append(different, reason)
		}
		if reason != "" {
			all = append(all, string(s.Name)+": "+reason)
		}
	}
	if len(different) == 1 {
		return different[0]
	}
	return strings.Join(all, "; ")
}

func (p *plan) warn(format string, args ...any) {
	p.report.Warnings = append(p.report.Warnings, fmt.Sprintf(format, args...))
}

// shares is annotation share: "20", or "api=20,web=5".
func (p *plan) shares() string {
	if len(p.services) == 1 {
		return p.services[0].EffectiveShare().String()
	}
	var all []string
	for _, s := range p.services {
		all = append(all, string(s.Name)+"="+s.EffectiveShare().String())
	}
	return strings.Join(all, ",")
}
