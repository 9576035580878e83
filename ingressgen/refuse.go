package ingressgen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/status"
)

// Labels and annotations of others that decide.
const (
	solverLabel = "acme.cert-manager.io/http01-solver" // cert-manager's, on what it creates for a challenge
	nginx       = "nginx.ingress.kubernetes.io/"
)

// A refusal looks at the whole Ingress and says why nothing of it is
// rewritten; "" lets it pass.
type refusal struct {
	code string
	find func(*plan) string
}

// refusals in the order in which they are asked; the first that speaks wins.
var refusals = []refusal{
	{"Paused", (*plan).paused},
	{"NoConfig", (*plan).noConfig},
	{"IsSolver", (*plan).isSolver},
	{"ModeUnknown", (*plan).modeUnknown},
	{"ServiceUnknown", (*plan).serviceUnknown},
	{"IsCanary", (*plan).isCanary},
}

// quietRefusals say nothing that the user could mend in this Ingress. It is
// restored, and nothing is written into it, not even the reason: the command
// restore --all waits until nothing of ours is left anywhere.
var quietRefusals = []string{"Paused", "NoConfig", "IsSolver"}

func (p *plan) refuse() {
	for _, guard := range refusals {
		message := guard.find(p)
		if message == "" {
			continue
		}
		p.report.Phase, p.report.Reason = status.Bypassed, message
		if p.quiet = slices.Contains(quietRefusals, guard.code); !p.quiet {
			p.warn("the Ingress is not rewritten: %s", message)
		}
		return
	}
}

func (p *plan) paused() string {
	if p.view.State.Paused == "" {
		return ""
	}
	return "everything is paused: " + p.view.State.Paused
}

func (p *plan) noConfig() string {
	if p.view.Table != nil {
		return ""
	}
	return "there is no valid migration config yet"
}

func (p *plan) isSolver() string {
	if p.ingress.Labels[solverLabel] == "" {
		return ""
	}
	return "it answers an ACME challenge, which must reach cert-manager"
}

func (p *plan) isCanary() string {
	if !strings.EqualFold(strings.TrimSpace(p.ingress.Annotations[nginx+"canary"]), "true") {
		return ""
	}
	return "it is itself a canary; opt in the Ingress that it is the canary of"
}

func (p *plan) modeUnknown() string {
	mode, written := p.ingress.Annotations[AnnotationMode]
	if !written || mode == string(migration.ModeProxy) || mode == string(migration.ModeCanary) {
		return ""
	}
	return fmt.Sprintf("annotation %s is %q; write proxy or canary, or leave it out", AnnotationMode, mode)
}

func (p *plan) serviceUnknown() string {
	name, written := p.ingress.Annotations[AnnotationService]
	if !written || p.view.Table == nil || p.view.Table.Service(migration.Name(name)) != nil {
		return ""
	}
	return fmt.Sprintf("annotation %s names %q, and the migration config has no such service", AnnotationService, name)
}

// match finds the service of each path.
func (p *plan) match() {
	if p.report.Phase != "" {
		return
	}
	for i := range p.spots {
		s := &p.spots[i]
		p.matchSpot(s)
		if s.service != nil && !slices.Contains(p.services, s.service) {
			p.services = append(p.services, s.service)
		}
	}
	slices.SortFunc(p.services, func(a, b *migration.Service) int { return cmp.Compare(a.Name, b.Name) })
}

func (p *plan) matchSpot(s *spot) {
	for _, guard := range guards {
		message, left := guard.find(p, s)
		if !left {
			continue
		}
		if message != "" {
			p.warn("%v is not rewritten: %s", s, message)
			p.unmatched = cmp.Or(p.unmatched, message)
		}
		return
	}
	s.service = p.covering(s)
	s.mode = s.service.Mode
	if mode, written := p.ingress.Annotations[AnnotationMode]; written {
		s.mode = migration.Mode(mode)
	}
}
