package ingressgen

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

// compare emits the edits from what is to what was decided. Only single
// values are edited, so what this version of the API types does not know stays
// where it is.
func (p *plan) compare() {
	var next record
	for i := range p.spots {
		s := &p.spots[i]
		if s.user == nil {
			continue
		}
		want := *s.user
		if p.migrates(s, migration.ModeProxy) {
			want = proxyBackend
			next.Backends = append(next.Backends, kept{key: s.key(), Backend: *s.user})
		}
		p.report.Edits = append(p.report.Edits, backendEdits(spotPath(s.rule, s.path), *s.at.Backend.Service, want)...)
	}
	p.compareAnnotations(next)
}

func (p *plan) compareAnnotations(next record) {
	want := map[string]string{}
	for name := range p.record.Annotations {
		if value := p.userAnnotation(name); value != p.ingress.Annotations[name] {
			want[name] = value
		}
	}
	if len(next.Backends) > 0 {
		for name, value := range p.adjusted {
			next = next.with(name, p.userAnnotation(name))
			want[name] = value
		}
	}
	for _, name := range written {
		want[name] = "" // removed, unless set below
	}
	want[AnnotationOriginal] = next.text()
	if want[AnnotationOriginal] == "" && slices.ContainsFunc(p.spots, func(s spot) bool { return s.lost }) {
		want[AnnotationOriginal] = p.ingress.Annotations[AnnotationOriginal] // a person may read more out of it
	}
	if p.report.Phase != "" && !p.quiet {
		want[AnnotationPhase] = string(p.report.Phase)
		want[AnnotationReason] = p.report.Reason
	}
	if len(p.services) > 0 {
		want[AnnotationShare] = p.shares()
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		p.report.Edits = append(p.report.Edits, annotationEdit(p.ingress.Annotations, name, want[name])...)
	}
}

// userAnnotation is an annotation as the user wrote it: an adjusted value that
// is still there stands for the recorded one.
func (p *plan) userAnnotation(name string) string {
	value := p.ingress.Annotations[name]
	recorded, ok := p.record.Annotations[name]
	if set, _ := adjusts(name); ok && value == set {
		return recorded
	}
	return value
}

// proxies are the Services that Report.Proxies is for.
func (p *plan) proxies() []string {
	var all []string
	if p.report.Companion != nil {
		all = append(all, companionService(p.ingress.Name))
	}
	if p.pointsAtProxy() {
		all = append(all, names.ProxyService)
	}
	slices.Sort(all)
	return all
}

// pointsAtProxy leaves out what others pointed there by hand for hosts that are
// not migrated: the Service in a namespace is a way to the applications of all
// others, so an Ingress does not get it for the asking.
func (p *plan) pointsAtProxy() bool {
	return slices.ContainsFunc(p.spots, func(s spot) bool {
		return p.migrates(&s, migration.ModeProxy) || s.lost && p.covering(&s) != nil
	})
}

// backendEdits goes value by value: a Service backend may carry fields that
// we do not know.
func backendEdits(spot string, is, want backend) []Edit {
	at := spot + "/backend/service"
	var edits []Edit
	if is.Name != want.Name {
		edits = append(edits, Edit{"replace", at + "/name", want.Name})
	}
	edits = append(edits, valueEdit(at+"/port/name", is.Port.Name, want.Port.Name)...)
	return append(edits, valueEdit(at+"/port/number", is.Port.Number, want.Port.Number)...)
}

// valueEdit treats the zero value as absent, as the API does.
func valueEdit[T comparable](path string, is, want T) []Edit {
	var zero T
	switch {
	case is == want:
		return nil
	case want == zero:
		return []Edit{{Op: "remove", Path: path}}
	case is == zero:
		return []Edit{{"add", path, want}}
	}
	return []Edit{{"replace", path, want}}
}

// annotationEdit leads to the value; "" is absent.
func annotationEdit(annotations map[string]string, name, want string) []Edit {
	is, exists := annotations[name]
	switch path := annotationPath(name); {
	case exists && want == "":
		return []Edit{{Op: "remove", Path: path}}
	case exists && is != want:
		return []Edit{{"replace", path, want}}
	case !exists && want != "":
		return []Edit{{"add", path, want}}
	}
	return nil
}

// SetAnnotation gives the edits that lead to an annotation's value; "" is
// absent.
func SetAnnotation(ingress *networkingv1.Ingress, name, value string) []Edit {
	edits := annotationEdit(ingress.Annotations, name, value)
	if ingress.Annotations == nil && len(edits) > 0 {
		edits = append([]Edit{{"add", annotationsPath, map[string]string{}}}, edits...)
	}
	return edits
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901

const annotationsPath = "/metadata/annotations"

func annotationPath(name string) string { return annotationsPath + "/" + pointer.Replace(name) }

func spotPath(rule, path int) string {
	return "/spec/rules/" + strconv.Itoa(rule) + "/http/paths/" + strconv.Itoa(path)
}
