package ingressgen

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// WithPreconditions puts tests before the edits, so that the patch fails as a whole when
// the Ingress is no longer the one they were computed for: the opt-in, the
// host and path of each place that is edited, and every old value.
func WithPreconditions(ingress *networkingv1.Ingress, edits []Edit) []Edit {
	if len(edits) == 0 {
		return nil
	}
	tests := annotationTests(ingress, edits)
	for _, s := range spotsOf(ingress) {
		at := spotPath(s.rule, s.path) + "/"
		if slices.ContainsFunc(edits, func(e Edit) bool { return strings.HasPrefix(e.Path, at) }) {
			tests = append(tests, s.tests()...)
		}
	}
	return append(tests, edits...)
}

// annotationTests are about the opt-in and every annotation that is edited.
// Where there is no annotation at all, that is the test: one below a missing
// parent fails.
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
	value, exists := ingress.Annotations[strings.NewReplacer("~1", "/", "~0", "~").Replace(name)]
	if !exists {
		return Edit{"test", path, absent}
	}
	return Edit{"test", path, value}
}

// tests say that the spot is the same one, and points where it pointed.
func (s *spot) tests() []Edit {
	at := spotPath(s.rule, s.path)
	service, to := at+"/backend/service", s.at.Backend.Service
	return []Edit{
		valueTest("/spec/rules/"+strconv.Itoa(s.rule)+"/host", s.host),
		valueTest(at+"/path", s.at.Path),
		valueTest(at+"/pathType", s.key().PathType),
		valueTest(service+"/name", to.Name),
		valueTest(service+"/port/name", to.Port.Name),
		valueTest(service+"/port/number", to.Port.Number),
	}
}

// absent is the value of a test that passes only when nothing is there: what
// the API server makes of null.
var absent = json.RawMessage("null")

// valueTest treats the zero value as absent, as the API does.
func valueTest[T comparable](path string, is T) Edit {
	var zero T
	if is == zero {
		return Edit{"test", path, absent}
	}
	return Edit{"test", path, is}
}
