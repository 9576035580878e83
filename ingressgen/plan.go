package ingressgen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/status"
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
	byHost   map[string][]*migration.Service
	report   Report
}

// standing is where a service's paths in this Ingress are, and why.
type standing struct {
	phase  status.Phase
	reason string
}

// Rewrite computes what the Ingress must become under the view. It changes
// neither. Applied to what its own edits lead to, it gives no edits.
func Rewrite(ingress *networkingv1.Ingress, view View) Report {
	return decide(ingress, view, OptedIn(ingress) && !isCompanion(ingress))
}

// Release is Rewrite of the Ingress as if it had not opted in: Restore with
// warnings, and with the view's table for what annotation original lost.
func Release(ingress *networkingv1.Ingress, view View) Report {
	return decide(ingress, view, false)
}

// Restore gives the edits that lead back to the Ingress as the user wrote it.
func Restore(ingress *networkingv1.Ingress) []Edit {
	return Release(ingress, View{}).Edits
}

func decide(ingress *networkingv1.Ingress, view View, optedIn bool) Report {
	p := &plan{
		ingress: ingress, view: view, standing: map[migration.Name]standing{},
		adjusted: map[string]string{}, byHost: map[string][]*migration.Service{},
	}
	if optedIn || Touched(ingress) {
		p.spots = spotsOf(ingress)
		p.undo()
	}
	if optedIn {
		for _, step := range steps {
			step(p)
		}
	}
	p.compare()
	p.report.NeedsProxy = p.pointsAtProxy()
	return p.report
}

// steps decide, in this order; the first that refuses the whole Ingress makes
// the later ones find nothing to migrate.
var steps = []func(*plan){
	(*plan).refuse, (*plan).match, (*plan).stand, (*plan).judge, (*plan).pair, (*plan).adjust, (*plan).conclude,
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
		return standing{status.Bypassed, "no ready replica of the proxy serves it yet"}
	case state.Host != string(s.OldHost) || state.PathPrefix != string(s.PathPrefix):
		return standing{status.Bypassed, fmt.Sprintf("the proxy still serves it at %s%s", state.Host, state.PathPrefix)}
	case state.Phase == status.Migrating:
		return standing{phase: status.Migrating}
	case state.Phase == status.FallenBack:
		return standing{status.FallenBack, cmp.Or(state.Reason, "new fails")}
	}
	return standing{status.Bypassed, cmp.Or(state.Reason, "no replica of the proxy is ready")}
}

// hold keeps a service's paths as the user wrote them, for a reason that lies
// in the Ingress or the config.
func (p *plan) hold(s *migration.Service, format string, args ...any) {
	p.standing[s.Name] = standing{status.Bypassed, fmt.Sprintf(format, args...)}
}

func (p *plan) migrating(s *migration.Service) bool {
	return p.standing[s.Name].phase == status.Migrating
}

// severity orders the phases: an Ingress shows the worst of its services'.
var severity = []status.Phase{status.Migrating, status.Bypassed, status.FallenBack}

// conclude sums the services up.
func (p *plan) conclude() {
	if p.report.Phase != "" {
		return // refused
	}
	if len(p.services) == 0 {
		p.report.Phase, p.report.Reason = status.Bypassed, "no path belongs to a service of the migration config"
		return
	}
	var reasons []string
	p.report.Phase = status.Migrating
	for _, s := range p.services {
		at := p.standing[s.Name]
		if slices.Index(severity, at.phase) > slices.Index(severity, p.report.Phase) {
			p.report.Phase = at.phase
		}
		if at.reason != "" {
			reasons = append(reasons, string(s.Name)+": "+at.reason)
		}
	}
	if len(p.services) == 1 {
		p.report.Reason = p.standing[p.services[0].Name].reason
		return
	}
	p.report.Reason = strings.Join(reasons, "; ")
}

func (p *plan) warn(format string, args ...any) {
	p.report.Warnings = append(p.report.Warnings, fmt.Sprintf(format, args...))
}

// shares is annotation share: "20", or "api=20,web=5".
func (p *plan) shares() string {
	if len(p.services) == 1 {
		return effectiveShare(p.services[0]).String()
	}
	var all []string
	for _, s := range p.services {
		all = append(all, string(s.Name)+"="+effectiveShare(s).String())
	}
	return strings.Join(all, ",")
}

// effectiveShare is the part of the requests without a rule that goes to new.
func effectiveShare(s *migration.Service) migration.Share {
	if !s.Enabled || s.Strategy == migration.StrategyHeader || s.Strategy == migration.StrategyIP {
		return 0
	}
	return s.Share
}
