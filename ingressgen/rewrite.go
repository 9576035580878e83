package ingressgen

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// rewriter holds the state of one call of Rewrite or Release.
type rewriter struct {
	ingress   *networkingv1.Ingress // read only
	view      View
	originals originalValues
	paths     []ingressPath
	services  []*migration.Service // the services that paths belong to, by name
	states    map[migration.Name]serviceState
	adjusted  map[string]string // annotations that need another value on the hop to the proxy
	// firstMismatch is why the first path belongs to no service.
	firstMismatch string
	silent        bool   // the Ingress is restored, and phase and reason are not written
	code          string // of the check that leaves the whole Ingress as it is; "" is none
	changes       map[migration.Name][]Change
	report        Report
}

// serviceState is the phase of a service for this Ingress, and the reason.
type serviceState struct {
	phase    status.Phase
	reason   string
	bypassed bool // set by bypass; the first reason stays
}

// Rewrite computes how the Ingress must change under the view. It modifies
// neither. Rewrite of the edited Ingress gives no edits.
func Rewrite(ingress *networkingv1.Ingress, view View) Report {
	return decide(ingress, view).report
}

// decide makes all decisions of Rewrite.
func decide(ingress *networkingv1.Ingress, view View) *rewriter {
	r := newRewriter(ingress, view)
	if !OptedIn(ingress) || IsCompanion(ingress) {
		r.release()
		return r
	}
	r.findOriginals()
	r.checkIngress()
	r.matchServices()
	r.resolveStates()
	r.checkAnnotations()
	r.checkProtocols()
	r.waitForWatcher()
	r.planCanary()
	r.checkAdjusted()
	r.summarize()
	r.finish()
	return r
}

// Release computes the edits that restore what the user wrote, as if the
// Ingress had not opted in. If annotation original is lost, the view's table
// helps to find the user's backends; it may be nil.
func Release(ingress *networkingv1.Ingress, view View) Report {
	return newRewriter(ingress, view).release()
}

func newRewriter(ingress *networkingv1.Ingress, view View) *rewriter {
	return &rewriter{
		ingress: ingress, view: view,
		states: map[migration.Name]serviceState{}, adjusted: map[string]string{}, changes: map[migration.Name][]Change{},
	}
}

func (r *rewriter) release() Report {
	if IsAnchor(r.ingress) {
		return r.report
	}
	if Touched(r.ingress) {
		r.findOriginals()
	}
	if value := r.ingress.Annotations[AnnotationEnabled]; value != "" && value != "false" && value != "true" {
		r.warn("annotation %s is %q, which does nothing; write true to opt in", AnnotationEnabled, value)
	}
	return r.finish()
}

func (r *rewriter) finish() Report {
	r.editBackends()
	r.report.Proxies = r.proxyUses()
	return r.report
}

// resolveStates takes the state of each service from the cluster's state.
func (r *rewriter) resolveStates() {
	for _, s := range r.services {
		r.states[s.Name] = r.view.serviceState(s)
		r.report.Services = append(r.report.Services, s.Name)
	}
}

func (v View) serviceState(s *migration.Service) serviceState {
	state, ok := v.State.Services[string(s.Name)]
	switch {
	case !ok:
		return serviceState{phase: status.Bypassed, reason: ReasonNotServed}
	case state.Host != string(s.OldHost) || state.PathPrefix != string(s.PathPrefix):
		return serviceState{phase: status.Bypassed, reason: fmt.Sprintf("the proxy still serves it at %s%s", state.Host, state.PathPrefix)}
	case state.Phase == status.Migrating:
		return serviceState{phase: status.Migrating}
	case state.Phase == status.FallenBack:
		return serviceState{phase: status.FallenBack, reason: cmp.Or(state.Reason, "new fails")}
	}
	return serviceState{phase: status.Bypassed, reason: cmp.Or(state.Reason, ReasonNoReplica)}
}

// bypass leaves a service's paths as the user wrote them, for a reason in the
// Ingress or in the config.
func (r *rewriter) bypass(s *migration.Service, format string, args ...any) {
	if !r.states[s.Name].bypassed {
		r.states[s.Name] = serviceState{phase: status.Bypassed, reason: fmt.Sprintf(format, args...), bypassed: true}
	}
}

func (r *rewriter) isMigrating(s *migration.Service) bool {
	return r.states[s.Name].phase == status.Migrating
}

// hasPaths tells whether mode is how one of the service's paths is migrated.
func (r *rewriter) hasPaths(service *migration.Service, mode migration.Mode) bool {
	for range r.pathsOf(service, mode) {
		return true
	}
	return false
}

// pathsOf are the paths of a service that are migrated in a mode.
func (r *rewriter) pathsOf(service *migration.Service, mode migration.Mode) iter.Seq[*ingressPath] {
	return func(yield func(*ingressPath) bool) {
		for i := range r.paths {
			if p := &r.paths[i]; p.service == service && p.mode == mode && !yield(p) {
				return
			}
		}
	}
}

// pathMigrates tells whether the path's requests reach the proxy by mode.
func (r *rewriter) pathMigrates(p *ingressPath, mode migration.Mode) bool {
	return p.service != nil && p.mode == mode && !p.waits && r.isMigrating(p.service)
}

// Reasons of phase Bypassed that lie in the replicas.
const (
	ReasonNoReplica = "no replica of the migration proxy is ready"
	ReasonNotServed = "no ready replica of the migration proxy serves it (yet)"
)

// summarize gives the Ingress the worst phase of its services.
func (r *rewriter) summarize() {
	if r.report.Phase != "" {
		return // by checkIngress or waitForWatcher
	}
	if len(r.services) == 0 {
		r.report.Phase, r.report.Reason = status.Bypassed, "no path belongs to a service of the migration config"
		if r.firstMismatch != "" {
			r.report.Reason += ": " + r.firstMismatch
		}
		return
	}
	r.report.Phase = status.Migrating
	for _, s := range r.services {
		if phase := r.states[s.Name].phase; phase.WorseThan(r.report.Phase) {
			r.report.Phase = phase
		}
	}
	r.report.Reason = r.reasons()
}

// reasons is the reason that all services share, or the reason of each with its
// name.
func (r *rewriter) reasons() string {
	var distinct, named []string
	for _, s := range r.services {
		reason := r.states[s.Name].reason
		if !slices.Contains(distinct, reason) {
			distinct = append(distinct, reason)
		}
		if reason != "" {
			named = append(named, string(s.Name)+": "+reason)
		}
	}
	if len(distinct) == 1 {
		return distinct[0]
	}
	return strings.Join(named, "; ")
}

func (r *rewriter) warn(format string, args ...any) {
	r.report.Warnings = append(r.report.Warnings, fmt.Sprintf(format, args...))
}

// warnOnce drops a repeated sentence: several services may lead to the same one.
func (r *rewriter) warnOnce(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.report.Warnings, text) {
		r.report.Warnings = append(r.report.Warnings, text)
	}
}

// shares is the value of annotation share: "20", or "api=20,web=5".
func (r *rewriter) shares() string {
	if len(r.services) == 1 {
		return r.services[0].EffectiveShare().String()
	}
	var shares []string
	for _, s := range r.services {
		shares = append(shares, string(s.Name)+"="+s.EffectiveShare().String())
	}
	return strings.Join(shares, ",")
}
