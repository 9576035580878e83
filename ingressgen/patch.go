package ingressgen

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

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
	if p.report.Phase != "" {
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

func (p *plan) pointsAtProxy() bool {
	if p.report.Companion != nil {
		return true
	}
	for _, s := range spotsOf(p.ingress) {
		if b := s.at.Backend.Service; b != nil && b.Name == proxyName && !isProxy(b) {
			return true
		}
	}
	for i := range p.spots {
		if s := &p.spots[i]; s.lost || p.migrates(s, migration.ModeProxy) {
			return true
		}
	}
	return false
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
	var absent T
	switch {
	case is == want:
		return nil
	case want == absent:
		return []Edit{{Op: "remove", Path: path}}
	case is == absent:
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

var pointer = strings.NewReplacer("~", "~0", "/", "~1") // RFC 6901

func annotationPath(name string) string { return "/metadata/annotations/" + pointer.Replace(name) }

func spotPath(rule, path int) string {
	return "/spec/rules/" + strconv.Itoa(rule) + "/http/paths/" + strconv.Itoa(path)
}

// Guarded puts tests before the edits, so that the patch fails as a whole when
// the Ingress is no longer the one they were computed for: the opt-in, the
// host and path of each place that is edited, and every old value. A new
// annotation has no old value, and JSON Patch no test for that.
func Guarded(ingress *networkingv1.Ingress, edits []Edit) []Edit {
	if len(edits) == 0 {
		return nil
	}
	var tests []Edit
	if value, ok := ingress.Annotations[AnnotationEnabled]; ok {
		tests = append(tests, Edit{"test", annotationPath(AnnotationEnabled), value})
	}
	for _, s := range spotsOf(ingress) {
		at := spotPath(s.rule, s.path)
		if slices.ContainsFunc(edits, func(e Edit) bool { return strings.HasPrefix(e.Path, at+"/") }) {
			tests = append(tests, s.tests()...)
		}
	}
	for _, edit := range edits {
		name, ok := strings.CutPrefix(edit.Path, annotationPath(""))
		if !ok || edit.Op == "add" {
			continue
		}
		name = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
		tests = append(tests, Edit{"test", edit.Path, ingress.Annotations[name]})
	}
	return append(tests, edits...)
}

// tests say that the spot is the same one, and points where it pointed.
func (s *spot) tests() []Edit {
	at := spotPath(s.rule, s.path)
	service := at + "/backend/service"
	var tests []Edit
	tests = append(tests, presentTest("/spec/rules/"+strconv.Itoa(s.rule)+"/host", s.host)...)
	tests = append(tests, presentTest(at+"/path", s.at.Path)...)
	tests = append(tests, presentTest(at+"/pathType", s.key().PathType)...)
	tests = append(tests, presentTest(service+"/name", s.at.Backend.Service.Name)...)
	tests = append(tests, presentTest(service+"/port/name", s.at.Backend.Service.Port.Name)...)
	return append(tests, presentTest(service+"/port/number", s.at.Backend.Service.Port.Number)...)
}

// presentTest tests a value that is there: a test for an absent one is not
// the same in all implementations of JSON Patch.
func presentTest[T comparable](path string, is T) []Edit {
	var absent T
	if is == absent {
		return nil
	}
	return []Edit{{"test", path, is}}
}
