package ingressgen

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// WithPreconditions puts test operations before the edits, so that the whole
// patch fails when the Ingress is no longer the one for which the edits were
// computed. The tests compare the opt-in, the host and path of each path that is
// edited, and every value that is replaced.
func WithPreconditions(ingress *networkingv1.Ingress, edits []Edit) []Edit {
	if len(edits) == 0 {
		return nil
	}
	tests := annotationTests(ingress, edits)
	for _, path := range listPaths(ingress) {
		below := path.pointer() + "/"
		if slices.ContainsFunc(edits, func(e Edit) bool { return strings.HasPrefix(e.Path, below) }) {
			tests = append(tests, path.tests()...)
		}
	}
	return append(tests, edits...)
}

// annotationTests compare the opt-in and every annotation that is edited. If the
// Ingress has no annotations at all, they compare just that: a test below a
// missing parent fails.
func annotationTests(ingress *networkingv1.Ingress, edits []Edit) []Edit {
	if ingress.Annotations == nil {
		return []Edit{{"test", annotationsPath, absent}}
	}
	tests := []Edit{annotationTest(ingress, annotationPath(AnnotationEnabled))}
	for _, edit := range edits {
		if strings.HasPrefix(edit.Path, annotationPath("")) {
			tests = append(tests, annotationTest(ingress, edit.Path))
		}
	}
	return tests
}

func annotationTest(ingress *networkingv1.Ingress, path string) Edit {
	name := strings.TrimPrefix(path, annotationPath(""))
	value, exists := ingress.Annotations[unescapePointer.Replace(name)]
	if !exists {
		return Edit{"test", path, absent}
	}
	return Edit{"test", path, value}
}

// tests compare the path's host, path, type and backend.
func (p *ingressPath) tests() []Edit {
	path := p.pointer()
	service, current := path+"/backend/service", p.spec.Backend.Service
	return []Edit{
		valueTest("/spec/rules/"+strconv.Itoa(p.rule)+"/host", p.host),
		valueTest(path+"/path", p.spec.Path),
		valueTest(path+"/pathType", p.key().PathType),
		valueTest(service+"/name", current.Name),
		valueTest(service+"/port/name", current.Port.Name),
		valueTest(service+"/port/number", current.Port.Number),
	}
}

// absent is the value of a test that passes only when nothing is there: the API
// server takes null as that.
var absent = json.RawMessage("null")

// valueTest treats the zero value as absent, as the API does.
func valueTest[T comparable](path string, current T) Edit {
	var zero T
	if current == zero {
		return Edit{"test", path, absent}
	}
	return Edit{"test", path, current}
}
