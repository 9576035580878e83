package ingressgen

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
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
	{"TooLarge", (*plan).tooLarge},
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

// What the API server takes limits what can be rewritten, and back: at most
// 10,000 operations in a patch, of which WithPreconditions needs 8 for a path, and 256 KiB
// of annotations in an object (ValidateAnnotations of apimachinery), of which some
// are left to others.
const (
	mostPaths       = 500
	mostAnnotations = 240 << 10 // bytes, of names and values
)

// tooLarge is about what the Ingress would be: admission must not turn what the
// API server would have stored into what it refuses.
func (p *plan) tooLarge() string {
	if len(p.spots) > mostPaths {
		return fmt.Sprintf("it has %d paths, and one with more than %d might be too large to be put back; share them out among several Ingresses",
			len(p.spots), mostPaths)
	}
	if size := p.annotationsSize(); size > mostAnnotations {
		return fmt.Sprintf("its annotations would have %d KiB with ours, and Kubernetes stores 256 KiB at most; shorten or remove some", size>>10)
	}
	return ""
}

// annotationsSize is that of the user's annotations and of a record of all
// backends. It is the same before and after ours are written.
func (p *plan) annotationsSize() int {
	var all record
	for i := range p.spots {
		if s := &p.spots[i]; s.user != nil {
			all.Backends = append(all.Backends, kept{key: s.key(), Backend: *s.user})
		}
	}
	size := len(all.text())
	for name := range p.ingress.Annotations {
		if !slices.Contains(written, name) {
			size += len(name) + len(p.userAnnotation(name))
		}
	}
	return size
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
