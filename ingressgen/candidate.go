package ingressgen

import (
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Candidate is what a service of a migration config needs, so that one path of an
// Ingress can belong to it.
type Candidate struct {
	Host   migration.Host
	Prefix migration.PathPrefix // of the requests that arrive for the path
	Old    networkingv1.IngressServiceBackend
	Scheme migration.Scheme // of the old Service
	GRPC   bool             // what the old Service speaks
}

// Candidates gives one for each path that points at a Service, has a host, and answers
// no ACME challenge.
func Candidates(ingress *networkingv1.Ingress) []Candidate {
	r := newRewriter(ingress, View{})
	if ingress.Labels[solverLabel] != "" || IsCanary(ingress) {
		return nil
	}
	r.findOriginals()
	var all []Candidate
	for i := range r.paths {
		p := &r.paths[i]
		host, err := migration.ParseOldHost(p.host)
		if _, challenge := r.acmeChallenge(p); err != nil || challenge || p.userBackend == nil {
			continue
		}
		all = append(all, r.candidate(p, host))
	}
	return all
}

func (r *rewriter) candidate(p *ingressPath, host migration.Host) Candidate {
	protocol := strings.ToUpper(strings.TrimSpace(r.userAnnotation(annotationProtocol)))
	c := Candidate{Host: host, Prefix: p.prefix(), Old: *p.userBackend, Scheme: migration.HTTP, GRPC: overHTTP2(protocol)}
	if protocol == "HTTPS" || protocol == speaksGRPCS {
		c.Scheme = migration.HTTPS
	}
	if a, changed := r.arrivingOf(p); changed {
		c.Prefix = migration.PathPrefix(a.text)
	}
	prefix, err := migration.ParsePathPrefix(string(c.Prefix))
	if c.Prefix = prefix; err != nil {
		c.Prefix = "/"
	}
	return c
}
