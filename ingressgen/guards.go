package ingressgen

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// A guard looks at one path and tells that it is left as it is, with the
// reason for the user; "" when there is nothing to tell.
type guard struct {
	code string
	find func(*plan, *spot) (message string, left bool)
}

// guards in the order in which they are asked. A path that passes all of them
// belongs to the service that covers it.
var guards = []guard{
	{"ACMEChallenge", (*plan).acmeChallenge},
	{"ResourceBackend", (*plan).resourceBackend},
	{"Lost", (*plan).lost},
	{"NoHost", (*plan).noHost},
	{"HostUnknown", (*plan).hostUnknown},
	{"PathUnknown", (*plan).pathUnknown},
	{"PathWider", (*plan).pathWider},
	{"OtherService", (*plan).otherService},
	{"ServiceBelow", (*plan).serviceBelow},
	{"NotInCluster", (*plan).notInCluster},
	{"OtherBackend", (*plan).otherBackend},
	{"OtherPort", (*plan).otherPort},
}

// cert-manager compares the backend of its challenge paths again and again:
// rewriting one breaks the certificate.
func (p *plan) acmeChallenge(s *spot) (string, bool) {
	solver := s.user != nil && strings.HasPrefix(s.user.Name, "cm-acme-http-solver-")
	return "", solver || migration.PathPrefix("/.well-known/acme-challenge").Matches(s.at.Path)
}

func (p *plan) resourceBackend(s *spot) (string, bool) {
	return "its backend is no Service, and only those are migrated", s.user == nil && !s.lost
}

// lost paths have had their warning.
func (p *plan) lost(s *spot) (string, bool) { return "", s.lost }

func (p *plan) noHost(s *spot) (string, bool) {
	return "its rule has no host, so it is for the hosts of no service in particular", s.host == ""
}

func (p *plan) hostUnknown(s *spot) (string, bool) {
	if len(p.ofHost(s.host)) > 0 {
		return "", false
	}
	if near := p.view.Table.Route(s.host, s.at.Path); near != nil {
		return fmt.Sprintf("service %s is for %s; give a rule with that host, or a service with old_host %s", near.Name, near.OldHost, s.host), true
	}
	return fmt.Sprintf("no service has old_host %s", s.host), true
}

func (p *plan) pathUnknown(s *spot) (string, bool) {
	if p.covering(s) != nil {
		return "", false
	}
	near := p.ofHost(s.host)[0]
	return fmt.Sprintf("service %s has this host, but its path_prefix %s does not cover the path", near.Name, near.PathPrefix), true
}

// pathWider: a path that a controller may take for the beginning of a text
// also gets requests that its service does not.
func (p *plan) pathWider(s *spot) (string, bool) {
	if s.pathType() != networkingv1.PathTypeImplementationSpecific {
		return "", false
	}
	covering, wider := p.covering(s), s.at.Path+"x"
	if s.at.Path == "" || p.route(s.host, wider) == covering {
		return "", false
	}
	return fmt.Sprintf("pathType %s may take %s too, which is not service %s's; use pathType Prefix, or path_prefix /",
		s.pathType(), wider, covering.Name), true
}

func (p *plan) otherService(s *spot) (string, bool) {
	wanted, written := p.ingress.Annotations[AnnotationService]
	if covering := p.covering(s); written && wanted != string(covering.Name) {
		return fmt.Sprintf("it is service %s's by host and path, and annotation %s says %s", covering.Name, AnnotationService, wanted), true
	}
	return "", false
}

// serviceBelow: the path's requests that lie below another service's prefix
// would go to that service's old backend, which is not where they go now.
func (p *plan) serviceBelow(s *spot) (string, bool) {
	if s.pathType() == networkingv1.PathTypeExact {
		return "", false
	}
	covering := p.covering(s)
	for _, below := range p.ofHost(s.host) {
		inside := below != covering && s.prefix().Matches(string(below.PathPrefix))
		if inside && below.OldBackend != covering.OldBackend && !p.takenFrom(s, below.PathPrefix) {
			return fmt.Sprintf("its requests below %s would go to the old_backend of service %s, %s; give %s a path of its own in this Ingress",
				below.PathPrefix, below.Name, below.OldBackend.HostPort(), below.PathPrefix), true
		}
	}
	return "", false
}

// takenFrom tells whether a longer path of this Ingress takes all requests of
// the prefix away from the spot.
func (p *plan) takenFrom(s *spot, prefix migration.PathPrefix) bool {
	for i := range p.spots {
		other := &p.spots[i]
		longer := other.host == s.host && other.pathType() == networkingv1.PathTypePrefix && len(other.prefix()) > len(s.prefix())
		if longer && other.prefix().Matches(string(prefix)) {
			return true
		}
	}
	return false
}

func (p *plan) backendIsCompared() bool {
	_, written := p.ingress.Annotations[AnnotationService]
	return !written
}

func (p *plan) notInCluster(s *spot) (string, bool) {
	covering := p.covering(s)
	if _, ok := oldBackend(covering, p.ingress.Namespace); ok || !p.backendIsCompared() {
		return "", false
	}
	return fmt.Sprintf("old_backend %s of service %s is no Service of namespace %s; if it is the same application, say so with annotation %s: %s",
		covering.OldBackend.HostPort(), covering.Name, p.ingress.Namespace, AnnotationService, covering.Name), true
}

func (p *plan) otherBackend(s *spot) (string, bool) {
	covering := p.covering(s)
	old, _ := oldBackend(covering, p.ingress.Namespace)
	if s.user.Name == old.Name || !p.backendIsCompared() {
		return "", false
	}
	return differs(s, covering), true
}

// otherPort: while a named port cannot be looked up, what was decided before
// stays.
func (p *plan) otherPort(s *spot) (string, bool) {
	covering := p.covering(s)
	old, _ := oldBackend(covering, p.ingress.Namespace)
	number, known := p.portOf(s.user)
	if !p.backendIsCompared() || known && number == old.Port.Number || !known && s.rewritten() {
		return "", false
	}
	if !known {
		return fmt.Sprintf("Service %s has no port %s that is known", s.user.Name, s.user.Port.Name), true
	}
	return differs(s, covering), true
}

func (p *plan) portOf(b *backend) (int32, bool) {
	if b.Port.Name == "" {
		return b.Port.Number, true
	}
	if p.view.Ports == nil {
		return 0, false
	}
	return p.view.Ports.PortNumber(b.Name, b.Port.Name)
}

func differs(s *spot, covering *migration.Service) string {
	return fmt.Sprintf("it points at %s, and service %s has old_backend %s; if it is the same application, say so with annotation %s: %s",
		show(*s.user), covering.Name, covering.OldBackend.HostPort(), AnnotationService, covering.Name)
}

// covering is the service that gets the requests of the path in the proxy.
func (p *plan) covering(s *spot) *migration.Service { return p.route(s.host, string(s.prefix())) }

// ofHost gives all services of a rule's host, the longest path prefix first.
func (p *plan) ofHost(host string) []*migration.Service {
	return p.view.Table.OfHost(migration.Host(host))
}
