package ingressgen

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Class says what an annotation of ingress-nginx does to an Ingress whose paths
// point at the proxy.
type Class string

// The classes.
const (
	Safe     Class = "safe"     // acts in front of the proxy, as it did before
	Adjusted Class = "adjusted" // would break the hop to the proxy: it gets another value while the Ingress is rewritten
	Refused  Class = "refused"  // would break the hop and cannot be adjusted: the Ingress is not rewritten
	Warned   Class = "warned"   // the Ingress is rewritten with a warning about what changes
)

// Annotation is one line of the catalog.
type Annotation struct {
	Name         string // without nginx.ingress.kubernetes.io/
	Class        Class  // in mode proxy
	Canary       Class  // in mode canary, where only the requests to new cross the proxy
	Reason       string // one sentence
	CanaryReason string // if mode canary has another reason
	Set          string // Adjusted: the values on the hop to the proxy
	Idle         string // the value with which it does nothing, in any case
	Retired      bool   // only older versions of ingress-nginx have it

	set    func(users string) string                       // Adjusted: one of the values of Set
	refuse func(value string, s *migration.Service) string // Adjusted: why this value cannot be adjusted, or ""
	when   *condition                                      // Warned, Adjusted: the values that cause a warning; nil is all
}

// condition selects the values of an annotation that change something.
type condition struct {
	text  string
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
	absoluteURL = &condition{"it is an absolute URL", func(value string, _ *migration.Service) bool {
		return isURL(strings.TrimSpace(value))
	}}
	usesTLS = &condition{"it is HTTPS or GRPCS", func(value string, _ *migration.Service) bool {
		return strings.HasSuffix(strings.ToUpper(strings.TrimSpace(value)), "S")
	}}
)

// parseSize reads a size of nginx in bytes: "8m" is 8 MiB, "0" is no limit.
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

// Condition says which values cause a warning; "" is all values.
func (a Annotation) Condition() string {
	if a.when == nil {
		return ""
	}
	return a.when.text
}

// Catalog gives every known annotation of ingress-nginx, sorted by name.
func Catalog() []Annotation { return table }

// catalog is the table by full name.
var catalog = func() map[string]*Annotation {
	all := make(map[string]*Annotation, len(table))
	for i := range table {
		all[nginx+table[i].Name] = &table[i]
	}
	return all
}()

// unknownAnnotation stands for annotations that are not in the table.
var unknownAnnotation = &Annotation{
	Class: Warned, Canary: Warned,
	Reason: "This version does not know it, so its effect on requests to the proxy is unknown.",
}

// adjustedValue is the value of an annotation while paths are rewritten, in place of a
// user's; false if it is never adjusted.
func adjustedValue(name, users string) (string, bool) {
	entry, ok := catalog[name]
	if !ok || entry.Class != Adjusted {
		return "", false
	}
	return entry.set(users), true
}

// checkAnnotations looks the Ingress's annotations up in the table, for each
// service that its paths belong to.
func (r *rewriter) checkAnnotations() {
	for _, name := range slices.Sorted(maps.Keys(r.ingress.Annotations)) {
		if len(r.services) == 0 || !strings.HasPrefix(name, nginx) {
			continue
		}
		entry, known := catalog[name]
		if !known {
			entry = unknownAnnotation
		}
		value := r.userAnnotation(name)
		if trimmed := strings.TrimSpace(value); trimmed == "" || strings.EqualFold(trimmed, entry.Idle) {
			continue
		}
		for _, s := range r.services {
			r.checkAnnotation(s, activeAnnotation{name, value, entry})
		}
	}
}

// activeAnnotation is an annotation whose value does something.
type activeAnnotation struct {
	name, value string
	entry       *Annotation
}

func (r *rewriter) checkAnnotation(s *migration.Service, a activeAnnotation) {
	class, reason := r.classify(s, a)
	switch class {
	case Refused:
		r.bypass(s, "annotation %s: %s: %s", a.name, a.value, reason)
		r.warnOnce("the Ingress is not rewritten: annotation %s: %s: %s", a.name, a.value, reason)
	case Adjusted:
		if to := a.entry.set(a.value); !strings.EqualFold(to, strings.TrimSpace(a.value)) {
			r.adjusted[a.name] = to
			r.changes[s.Name] = append(r.changes[s.Name], Change{Adjusted, fmt.Sprintf("annotation %s: %s is %s meanwhile: %s", a.name, a.value, to, reason)})
		}
		r.warnOfChange(s, a, reason)
	case Warned:
		if r.warnOfChange(s, a, reason) {
			r.changes[s.Name] = append(r.changes[s.Name], Change{Warned, fmt.Sprintf("annotation %s: %s", a.name, reason)})
		}
	}
}

// warnOfChange warns if this value of the annotation changes something.
func (r *rewriter) warnOfChange(s *migration.Service, a activeAnnotation, reason string) bool {
	if a.entry.when != nil && !a.entry.when.holds(a.value, s) {
		return false
	}
	r.warnOnce("annotation %s: %s", a.name, reason)
	return true
}

// classify gives the class of the annotation for the service, and the reason.
func (r *rewriter) classify(s *migration.Service, a activeAnnotation) (Class, string) {
	class, reason := a.entry.Class, a.entry.Reason
	if r.hasPaths(s, migration.ModeCanary) {
		class, reason = a.entry.Canary, cmp.Or(a.entry.CanaryReason, reason)
	}
	if class == Adjusted {
		if problem := a.entry.refuse(a.value, s); problem != "" {
			return Refused, problem
		}
	}
	return class, reason
}

// checkAdjusted bypasses the services of mode proxy if an annotation would be
// adjusted under a path that keeps its backend: an annotation is for the whole
// Ingress.
func (r *rewriter) checkAdjusted() {
	kept := r.keptBackend()
	if len(r.adjusted) == 0 || kept == "" {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(r.adjusted)) {
		problem := fmt.Sprintf("annotation %s would have to be %s for the proxy, and it also holds for %s, which stays; give that an Ingress of its own",
			name, r.adjusted[name], kept)
		for _, s := range r.services {
			if r.isMigrating(s) && r.hasPaths(s, migration.ModeProxy) {
				r.bypass(s, "%s", problem)
				r.warnOnce("the Ingress is not rewritten: %s", problem)
			}
		}
	}
}

// keptBackend names the first place in the Ingress that keeps its own backend. A
// challenge of cert-manager does not count: it is plain HTTP.
func (r *rewriter) keptBackend() string {
	if r.ingress.Spec.DefaultBackend != nil {
		return "the default backend"
	}
	for i := range r.paths {
		p := &r.paths[i]
		if _, challenge := r.acmeChallenge(p); !challenge && p.userBackend != nil && !p.waits && !r.pathMigrates(p, migration.ModeProxy) {
			return p.String()
		}
	}
	return ""
}
