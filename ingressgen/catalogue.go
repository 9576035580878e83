package ingressgen

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Class says what an annotation of the old controller means for an Ingress
// whose paths point at the proxy.
type Class string

// The classes.
const (
	Safe     Class = "safe"     // acts in front of the proxy, as it did before
	Adjusted Class = "adjusted" // would break the hop to the proxy: another value while it is rewritten
	Refused  Class = "refused"  // would break it and cannot be adjusted: the Ingress is not rewritten
	Warned   Class = "warned"   // rewritten, and the user is told what changes
)

// Annotation is one line of the catalogue.
type Annotation struct {
	Name         string // without nginx.ingress.kubernetes.io/
	Class        Class  // in mode proxy
	Canary       Class  // in mode canary, where only new's part crosses the proxy
	Reason       string // one sentence
	CanaryReason string // if it is another one
	Set          string // Adjusted: the value on the hop to the proxy
	Idle         string // the value with which it does nothing; compared without case
	Retired      bool   // older versions had it, the newest has not

	refuse func(value string, s *migration.Service) string // Adjusted: why this value cannot be
	when   *condition                                      // Warned, Adjusted: told only then
}

// condition narrows a warning to the values that change something.
type condition struct {
	says  string
	holds func(value string, s *migration.Service) bool
}

var (
	biggerBody = &condition{"it is larger than the service's max_body_size", func(value string, s *migration.Service) bool {
		size, ok := parseSize(value)
		return s.MaxBodyBytes > 0 && ok && (size == 0 || size > s.MaxBodyBytes)
	}}
	biggerHeaders = &condition{"it is larger than 16k", func(value string, _ *migration.Service) bool {
		size, ok := parseSize(value)
		return ok && size > 16<<10
	}}
	longerTimeout = &condition{"it is longer than the service's timeout", func(value string, s *migration.Service) bool {
		seconds, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), "s"))
		return err == nil && time.Duration(seconds)*time.Second > s.Timeout
	}}
)

var httpsBefore = &condition{"it is HTTPS", func(value string, _ *migration.Service) bool {
	return strings.EqualFold(strings.TrimSpace(value), "HTTPS")
}}

// parseSize reads nginx's sizes: "8m" is 8 MiB, "0" no limit.
func parseSize(text string) (int64, bool) {
	text = strings.ToLower(strings.TrimSpace(text))
	shift := 0
	if at := strings.IndexAny(text, "bkmg"); at >= 0 && at == len(text)-1 {
		shift = 10 * strings.IndexByte("bkmg", text[at])
		text = text[:at]
	}
	size, err := strconv.ParseInt(text, 10, 32)
	return size << shift, err == nil
}

// backendProtocol: what the controller spoke to the old Service is what the
// proxy must speak to it now.
func backendProtocol(value string, s *migration.Service) string {
	switch strings.ToUpper(strings.TrimSpace(value)) {
	case "AUTO_HTTP":
		return ""
	case "HTTPS":
		if s.OldBackend.Scheme == migration.HTTPS {
			return ""
		}
		return fmt.Sprintf("the old Service speaks HTTPS, and the proxy would speak HTTP to it; write old_backend: https://%s in service %s",
			s.OldBackend.HostPort(), s.Name)
	}
	return "the proxy speaks HTTP or HTTPS to backends"
}

// Only says with which values the user is told; "" with all.
func (a Annotation) Only() string {
	if a.when == nil {
		return ""
	}
	return a.when.says
}

// Catalogue gives every annotation that is known, by name.
func Catalogue() []Annotation { return table }

// catalogue has the table by full name.
var catalogue = func() map[string]*Annotation {
	all := make(map[string]*Annotation, len(table))
	for i := range table {
		all[nginx+table[i].Name] = &table[i]
	}
	return all
}()

// unknown stands for annotations that no version known here has.
var unknown = &Annotation{
	Class: Warned, Canary: Warned,
	Reason: "It is not known here, so nobody has judged what it does on the hop to the proxy.",
}

// adjusts tells the value that an annotation has while paths are rewritten.
func adjusts(name string) (string, bool) {
	entry, ok := catalogue[name]
	if !ok || entry.Class != Adjusted {
		return "", false
	}
	return entry.Set, true
}

// judge looks the Ingress's annotations up for each service that its paths
// belong to.
func (p *plan) judge() {
	for _, name := range slices.Sorted(maps.Keys(p.ingress.Annotations)) {
		if len(p.services) == 0 || !strings.HasPrefix(name, nginx) {
			continue
		}
		entry, known := catalogue[name]
		if !known {
			entry = unknown
		}
		value := p.userAnnotation(name)
		if trimmed := strings.TrimSpace(value); trimmed == "" || strings.EqualFold(trimmed, entry.Idle) {
			continue
		}
		for _, s := range p.services {
			p.judgeFor(s, finding{name, value, entry})
		}
	}
}

// finding is an annotation that does something.
type finding struct {
	name, value string
	entry       *Annotation
}

func (p *plan) judgeFor(s *migration.Service, f finding) {
	class, reason := f.entry.Class, f.entry.Reason
	if p.has(s, migration.ModeCanary) {
		class = f.entry.Canary
		if f.entry.CanaryReason != "" {
			reason = f.entry.CanaryReason
		}
	}
	if class == Adjusted {
		if problem := f.entry.refuse(f.value, s); problem != "" {
			class, reason = Refused, problem
		}
	}
	switch class {
	case Refused:
		p.hold(s, "annotation %s: %s: %s", f.name, f.value, reason)
		p.warnOnce("the Ingress is not rewritten: annotation %s: %s: %s", f.name, f.value, reason)
	case Adjusted:
		p.adjusted[f.name] = f.entry.Set
		fallthrough
	case Warned:
		if f.entry.when == nil || f.entry.when.holds(f.value, s) {
			p.warnOnce("annotation %s: %s", f.name, reason)
		}
	}
}

// warnOnce: several services may lead to the same sentence.
func (p *plan) warnOnce(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.report.Warnings, text) {
		p.report.Warnings = append(p.report.Warnings, text)
	}
}

// adjust holds everything back when an annotation, which is for the whole
// Ingress, would be adjusted under a path that stays where it is.
func (p *plan) adjust() {
	stays := p.staying()
	if len(p.adjusted) == 0 || stays == "" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(p.adjusted)) {
		problem := fmt.Sprintf("annotation %s would have to be %s for the proxy, and it also holds for %s, which stays; give that an Ingress of its own",
			name, p.adjusted[name], stays)
		for _, s := range p.services {
			if p.migrating(s) && p.has(s, migration.ModeProxy) {
				p.hold(s, "%s", problem)
				p.warnOnce("the Ingress is not rewritten: %s", problem)
			}
		}
	}
}

// staying names something that keeps its own backend; a challenge of
// cert-manager is plain HTTP and does not mind.
func (p *plan) staying() string {
	if p.ingress.Spec.DefaultBackend != nil {
		return "the default backend"
	}
	for i := range p.spots {
		s := &p.spots[i]
		if _, challenge := p.acmeChallenge(s); !challenge && s.user != nil && !p.migrates(s, migration.ModeProxy) {
			return s.String()
		}
	}
	return ""
}
