package ingressgen

import (
	"slices"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// ReasonWaiting is why an Ingress is Bypassed for some seconds after it has opted
// in: the watcher makes the proxy Services, and waits until the ingress controller
// knows them.
const ReasonWaiting = "the watcher prepares the Services of the proxy, and then points the Ingress at them"

// waitForWatcher decides what admission and a blocked Ingress leave as it is.
//
// Admission keeps paths at the proxy that the stored Ingress has there, and points
// no other path at it. So nobody's write fails because of a backend that he did
// not write: a policy of the cluster may refuse it, and only the watcher's own
// write then fails. The Service exists, and the ingress controller knows it.
//
// The phase of an Ingress with other paths to migrate is the watcher's to decide,
// as it knows the other Ingresses and the classes: admission keeps what is stored.
func (r *rewriter) waitForWatcher() {
	if r.view.Blocked != "" {
		r.bypassMigrating(r.view.Blocked)
		return
	}
	if r.view.Admission == nil || r.report.Phase != "" {
		return
	}
	kept := r.view.Admission.proxies()
	waiting := false
	for i := range r.paths {
		p := &r.paths[i]
		if p.service == nil || !r.isMigrating(p.service) {
			continue
		}
		p.waits = p.mode == migration.ModeProxy && !slices.Contains(kept, proxyServiceName(*p.userBackend))
		waiting = waiting || p.waits || p.mode == migration.ModeCanary
	}
	if waiting && len(r.adjusted) > 0 {
		r.waitTogether()
	}
	if waiting {
		r.report.Phase, r.report.Reason = r.view.Admission.phase()
	}
}

// waitTogether lets all paths wait: an adjusted annotation holds for the whole
// Ingress, and would be wrong for the paths that keep their backend.
func (r *rewriter) waitTogether() {
	for i := range r.paths {
		p := &r.paths[i]
		p.waits = p.waits || r.pathMigrates(p, migration.ModeProxy)
	}
}

// bypassMigrating bypasses all services that migrate.
func (r *rewriter) bypassMigrating(reason string) {
	for _, s := range r.services {
		if r.isMigrating(s) {
			r.bypass(s, "%s", reason)
		}
	}
}

// proxies are the names of the proxy Services at which the stored Ingress points.
func (a *Admission) proxies() []string {
	if a.Stored == nil {
		return nil
	}
	var proxies []string
	for _, p := range listPaths(a.Stored) {
		if p.isRewritten() {
			proxies = append(proxies, p.spec.Backend.Service.Name)
		}
	}
	return proxies
}

// phase is the stored phase with its reason.
func (a *Admission) phase() (status.Phase, string) {
	if a.Stored != nil && OptedIn(a.Stored) {
		if phase := a.Stored.Annotations[AnnotationPhase]; phase != "" {
			return status.Phase(phase), a.Stored.Annotations[AnnotationReason]
		}
	}
	return status.Bypassed, ReasonWaiting
}
