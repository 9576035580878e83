package ingressgen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// pathCheck looks at one path. It tells whether the path is left as it is, with
// the reason for the user; the reason is "" when there is nothing to tell.
type pathCheck struct {
	code string
	find func(*rewriter, *ingressPath) (reason string, left bool)
}

// pathChecks in order. A path that passes all of them belongs to the service
// that covers it.
var pathChecks = []pathCheck{
	{CodeChallenge, (*rewriter).acmeChallenge},
	{"ResourceBackend", (*rewriter).resourceBackend},
	{"Lost", (*rewriter).originalLost},
	{"NotRestorable", (*rewriter).notRestorable},
	{"NoHost", (*rewriter).noHost},
	{"HostUnknown", (*rewriter).hostUnknown},
	{"PathUnknown", (*rewriter).pathUnknown},
	{"PathWider", (*rewriter).pathWider},
	{"OtherService", (*rewriter).otherService},
	{"ServiceBelow", (*rewriter).serviceBelow},
	{"LoosenedByNeighbor", (*rewriter).loosenedByNeighbor},
	{"NotInCluster", (*rewriter).notInCluster},
	{"OtherBackend", (*rewriter).otherBackend},
	{"OtherPort", (*rewriter).otherPort},
	{"ExternalPort", (*rewriter).externalPort},
}

// matchServices finds the service of each path.
func (r *rewriter) matchServices() {
	if r.report.Phase != "" {
		return // by checkIngress
	}
	for i := range r.paths {
		p := &r.paths[i]
		if r.leavePath(p) {
			continue
		}
		p.service, p.mode = r.coveringService(p), r.modeOf(p)
		if !slices.Contains(r.services, p.service) {
			r.services = append(r.services, p.service)
		}
	}
	slices.SortFunc(r.services, func(a, b *migration.Service) int { return cmp.Compare(a.Name, b.Name) })
}

// leavePath tells whether a check leaves the path as it is.
func (r *rewriter) leavePath(p *ingressPath) bool {
	for _, check := range pathChecks {
		reason, left := check.find(r, p)
		if !left {
			continue
		}
		p.code, p.reason = check.code, reason
		if reason != "" {
			r.warn("%v is not rewritten: %s", p, reason)
			r.firstMismatch = cmp.Or(r.firstMismatch, reason)
		}
		return true
	}
	return false
}

// modeOf is the mode of annotation mode, or the mode of the path's service.
func (r *rewriter) modeOf(p *ingressPath) migration.Mode {
	if mode, ok := r.ingress.Annotations[AnnotationMode]; ok {
		return migration.Mode(mode)
	}
	return r.coveringService(p).Mode
}

// acmeChallenge leaves the challenge paths of cert-manager: it compares their
// backends again and again, and a rewritten one breaks the certificate.
func (r *rewriter) acmeChallenge(p *ingressPath) (string, bool) {
	solver := p.userBackend != nil && strings.HasPrefix(p.userBackend.Name, "cm-acme-http-solver-")
	return "", solver || migration.PathPrefix("/.well-known/acme-challenge").Matches(p.spec.Path)
}

func (r *rewriter) resourceBackend(p *ingressPath) (string, bool) {
	return "its backend is no Service, and only those are migrated", p.userBackend == nil && !p.originalLost
}

// originalLost gives no reason: findOriginals has warned.
func (r *rewriter) originalLost(p *ingressPath) (string, bool) { return "", p.originalLost }

// notRestorable: nothing is rewritten that could not be put back.
func (r *rewriter) notRestorable(p *ingressPath) (string, bool) {
	if isRestorable(*p.userBackend) {
		return "", false
	}
	return fmt.Sprintf("its backend %s could not be put back later; name the Service and either the name or the number of its port",
		formatBackend(*p.userBackend)), true
}

func (r *rewriter) noHost(p *ingressPath) (string, bool) {
	return "its rule has no host, so it is for the hosts of no service in particular", p.host == ""
}

func (r *rewriter) hostUnknown(p *ingressPath) (string, bool) {
	if len(r.servicesOfHost(p.host)) > 0 {
		return "", false
	}
	if near := r.view.Table.Covering(p.host, p.spec.Path); near != nil {
		return fmt.Sprintf("service %s is for %s; give a rule with that host, or a service with old_host %s", near.Name, near.OldHost, p.host), true
	}
	return fmt.Sprintf("no service has old_host %s", p.host), true
}

func (r *rewriter) pathUnknown(p *ingressPath) (string, bool) {
	if r.coveringService(p) != nil {
		return "", false
	}
	near := r.servicesOfHost(p.host)[0]
	if a, changed := r.arrivingOf(p); changed {
		return fmt.Sprintf("by rewrite-target or use-regex its requests reach the proxy with %v, and service %s has this host with path_prefix %s, which does not cover them; give the service a path_prefix that does, such as /, or use a host for this application alone",
			a, near.Name, near.PathPrefix), true
	}
	return fmt.Sprintf("service %s has this host, but its path_prefix %s does not cover the path", near.Name, near.PathPrefix), true
}

// pathWider: a controller may match a path of type ImplementationSpecific as a
// plain text prefix, and then the path also gets requests that are not its
// service's.
func (r *rewriter) pathWider(p *ingressPath) (string, bool) {
	if _, changed := r.arrivingOf(p); changed || p.pathType() != networkingv1.PathTypeImplementationSpecific {
		return "", false // receiverBesides knows what arrives
	}
	covering, wider := r.coveringService(p), p.spec.Path+"x"
	if p.spec.Path == "" || r.route(p.host, wider) == covering {
		return "", false
	}
	return fmt.Sprintf("pathType %s may take %s too, which is not service %s's; use pathType Prefix, or path_prefix /",
		p.pathType(), wider, covering.Name), true
}

func (r *rewriter) otherService(p *ingressPath) (string, bool) {
	wanted, exists := r.ingress.Annotations[AnnotationService]
	if covering := r.coveringService(p); exists && wanted != string(covering.Name) {
		return fmt.Sprintf("it is service %s's by host and path, and annotation %s says %s", covering.Name, AnnotationService, wanted), true
	}
	return "", false
}

// serviceBelow: the proxy would send the path's requests below another service's
// prefix to the old backend of that service. Today they go elsewhere, unless a longer path
// of this Ingress or of a neighbor takes them.
func (r *rewriter) serviceBelow(p *ingressPath) (string, bool) {
	covering := r.coveringService(p)
	if a, changed := r.arrivingOf(p); changed {
		return r.receiverBesides(p, a)
	}
	if r.view.Neighbors == nil || p.pathType() == networkingv1.PathTypeExact {
		return "", false
	}
	for _, below := range r.servicesOfHost(p.host) {
		inside := below != covering && p.prefix().Matches(string(below.PathPrefix))
		if inside && below.OldBackend != covering.OldBackend && !r.takenByLongerPath(p, below.PathPrefix) {
			return fmt.Sprintf("its requests below %s would go to the old_backend of service %s, %s; give %s a path of type Prefix of its own, in this Ingress or in another of this host and class",
				below.PathPrefix, below.Name, below.OldBackend.HostPort(), below.PathPrefix), true
		}
	}
	return "", false
}

// receiverBesides finds a service that would get some of the requests which
// rewrite-target or use-regex lets arrive, and whose old_backend is another. Another
// path of the Ingress cannot take them: they may be rewritten to the same.
func (r *rewriter) receiverBesides(p *ingressPath, a arriving) (string, bool) {
	services := r.receivers(p.host, a)
	for _, other := range services {
		if covering := services[0]; other.OldBackend != covering.OldBackend {
			return fmt.Sprintf("by rewrite-target or use-regex its requests reach the proxy with %v, and of these some would go to the old_backend of service %s, %s, and some to that of service %s; use a host for each application, or a rewrite-target that begins with a path_prefix and /",
				a, other.Name, other.OldBackend.HostPort(), covering.Name), true
		}
	}
	return "", false
}

// loosenedByNeighbor: because of another Ingress of the host, ingress-nginx sends
// /ONE and /onexyz for path /one. On a host that has a service for these paths as
// well, such as one with path_prefix /, the proxy would send them to its old_backend.
func (r *rewriter) loosenedByNeighbor(p *ingressPath) (string, bool) {
	_, changed := r.arrivingOf(p)
	if changed || r.view.Neighbors == nil || r.view.Controller != ControllerNginx || !r.comparesBackends(r.coveringService(p)) {
		return "", false
	}
	looseners := r.view.Neighbors.LoosenersAt(p.host)
	if len(looseners) == 0 {
		return "", false
	}
	covering := r.coveringService(p)
	for _, probe := range (arriving{text: string(p.prefix()), anyCase: true}).probes() {
		if other := r.routeLoosely(p.host, probe); other != nil && other.OldBackend != covering.OldBackend {
			return fmt.Sprintf("Ingress %s has rewrite-target or use-regex, so ingress-nginx sends %s for this path too, and that would go to the old_backend of service %s, %s; use a host for each application, or if nobody requests such paths, %s",
				firstName(looseners, r.ingress.Namespace), probe, other.Name, other.OldBackend.HostPort(), r.vouch(covering)), true
		}
	}
	return "", false
}

// takenByLongerPath tells whether a longer path already gets all requests of the prefix:
// one of this Ingress, or of another one of the same class, whose paths the controller
// joins with these.
func (r *rewriter) takenByLongerPath(p *ingressPath, prefix migration.PathPrefix) bool {
	if takesFrom(r.paths, p, prefix) {
		return true
	}
	return slices.ContainsFunc(r.view.Neighbors.IngressesAt(p.host), func(other *networkingv1.Ingress) bool {
		return sameClass(r.ingress, other) && !IsCanary(other) && takesFrom(listPaths(other), p, prefix)
	})
}

func takesFrom(paths []ingressPath, p *ingressPath, prefix migration.PathPrefix) bool {
	return slices.ContainsFunc(paths, func(other ingressPath) bool {
		longer := other.host == p.host && other.pathType() == networkingv1.PathTypePrefix && len(other.prefix()) > len(p.prefix())
		return longer && other.prefix().Matches(string(prefix))
	})
}

// comparesBackends tells whether a path must point at the old_backend of the service.
// With annotation service the user says that it is the same application, and an
// operator decides in which namespaces users may: the proxy Service that is made there
// leads to the applications of all.
func (r *rewriter) comparesBackends(s *migration.Service) bool {
	_, vouched := r.ingress.Annotations[AnnotationService]
	return !vouched || !r.mayVouch(s)
}

// mayVouch tells whether Ingresses of this namespace may have annotation service for
// the service.
func (r *rewriter) mayVouch(s *migration.Service) bool {
	_, namespace, ok := splitServiceHost(s.OldBackend)
	return ok && namespace == r.ingress.Namespace || slices.Contains(s.Namespaces, r.ingress.Namespace)
}

// vouch is the way out for a path that points at something else.
func (r *rewriter) vouch(s *migration.Service) string {
	text := fmt.Sprintf("say so with annotation %s: %s", AnnotationService, s.Name)
	if !r.mayVouch(s) {
		text += fmt.Sprintf(", which counts when the service in the migration config has namespaces: [%s]", r.ingress.Namespace)
	}
	return text
}

func (r *rewriter) notInCluster(p *ingressPath) (string, bool) {
	covering := r.coveringService(p)
	if _, ok := oldBackend(covering, r.ingress.Namespace); ok || !r.comparesBackends(covering) {
		return "", false
	}
	return fmt.Sprintf("old_backend %s of service %s is no Service of namespace %s; if it is the same application, %s",
		covering.OldBackend.HostPort(), covering.Name, r.ingress.Namespace, r.vouch(covering)), true
}

func (r *rewriter) otherBackend(p *ingressPath) (string, bool) {
	covering := r.coveringService(p)
	old, _ := oldBackend(covering, r.ingress.Namespace)
	if p.userBackend.Name == old.Name || !r.comparesBackends(covering) {
		return "", false
	}
	return r.backendMismatch(p, covering), true
}

// otherPort: while a named port cannot be looked up, the earlier decision stays.
func (r *rewriter) otherPort(p *ingressPath) (string, bool) {
	covering := r.coveringService(p)
	old, _ := oldBackend(covering, r.ingress.Namespace)
	number, known := r.portNumber(p.userBackend)
	if !r.comparesBackends(covering) || known && number == old.Port.Number || !known && p.isRewritten() {
		return "", false
	}
	if !known {
		return fmt.Sprintf("Service %s has no port %s that is known", p.userBackend.Name, p.userBackend.Port.Name), true
	}
	return r.backendMismatch(p, covering), true
}

// externalPort: DNS gives the host behind a Service of type ExternalName, but not the
// port. ingress-nginx connects to the targetPort there, other controllers to the port.
func (r *rewriter) externalPort(p *ingressPath) (string, bool) {
	number, known := r.portNumber(p.userBackend)
	covering := r.coveringService(p)
	if !known || r.view.Ports == nil || r.view.Controller != ControllerNginx || !r.comparesBackends(covering) {
		return "", false
	}
	target := r.view.Ports.ExternalPort(p.userBackend.Name, number)
	if target == 0 || target == number {
		return "", false
	}
	return fmt.Sprintf("Service %s is an ExternalName whose targetPort is %d, where ingress-nginx connects to, and the proxy would connect to port %d; give service %s the old_backend that the name stands for, with port %d and namespaces: [%s], and the Ingress annotation %s: %s",
		p.userBackend.Name, target, number, covering.Name, target, r.ingress.Namespace, AnnotationService, covering.Name), true
}

// portNumber is false for a named port that is not known.
func (r *rewriter) portNumber(b *backend) (int32, bool) {
	if b.Port.Name == "" {
		return b.Port.Number, true
	}
	if r.view.Ports == nil {
		return 0, false
	}
	return r.view.Ports.PortNumber(b.Name, b.Port.Name)
}

func (r *rewriter) backendMismatch(p *ingressPath, covering *migration.Service) string {
	return fmt.Sprintf("it points at %s, and service %s has old_backend %s; if it is the same application, %s",
		formatBackend(*p.userBackend), covering.Name, covering.OldBackend.HostPort(), r.vouch(covering))
}

// coveringService is the service to which the proxy routes the path's requests.
func (r *rewriter) coveringService(p *ingressPath) *migration.Service {
	if a, changed := r.arrivingOf(p); changed {
		if services := r.receivers(p.host, a); len(services) > 0 {
			return services[0]
		}
		return nil
	}
	return r.route(p.host, string(p.prefix()))
}

// servicesOfHost gives the services of a rule's host, the longest path prefix
// first.
func (r *rewriter) servicesOfHost(host string) []*migration.Service {
	return r.view.Table.OfHost(migration.Host(host))
}
