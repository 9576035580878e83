package ingressgen

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// editBackends computes the edits from the current Ingress to the decided one.
// It edits only single values, so fields that these API types do not know stay
// where they are.
func (r *rewriter) editBackends() {
	var next originalValues
	for i := range r.paths {
		p := &r.paths[i]
		if p.userBackend == nil {
			continue
		}
		want := *p.userBackend
		if r.pathMigrates(p, migration.ModeProxy) {
			want = proxied(*p.userBackend)
			next.Backends = append(next.Backends, originalBackend{pathKey: p.key(), Backend: *p.userBackend})
		}
		r.report.Edits = append(r.report.Edits, backendEdits(p.pointer(), *p.spec.Backend.Service, want)...)
	}
	r.editAnnotations(next)
}

// editAnnotations appends the edits of annotations, by name.
func (r *rewriter) editAnnotations(next originalValues) {
	want := r.restoredAnnotations()
	if len(next.Backends) > 0 {
		for name, value := range r.adjusted {
			next = next.withAnnotation(name, r.userAnnotation(name))
			want[name] = value
		}
	}
	maps.Copy(want, r.managedValues(next))
	for _, name := range slices.Sorted(maps.Keys(want)) {
		r.report.Edits = append(r.report.Edits, annotationEdit(r.ingress.Annotations, name, want[name])...)
	}
}

// restoredAnnotations are the user's values of annotations that were adjusted.
func (r *rewriter) restoredAnnotations() map[string]string {
	restored := map[string]string{}
	for name := range r.originals.Annotations {
		if value := r.userAnnotation(name); value != r.ingress.Annotations[name] {
			restored[name] = value
		}
	}
	return restored
}

// managedValues are the values of all annotations that only the proxy writes;
// "" is absent.
func (r *rewriter) managedValues(next originalValues) map[string]string {
	values := make(map[string]string, len(managedAnnotations))
	for _, name := range managedAnnotations {
		values[name] = ""
	}
	values[AnnotationOriginal] = next.text()
	if values[AnnotationOriginal] == "" && slices.ContainsFunc(r.paths, func(p ingressPath) bool { return p.originalLost }) {
		values[AnnotationOriginal] = r.ingress.Annotations[AnnotationOriginal] // a person may be able to read it
	}
	if r.report.Phase != "" && !r.silent {
		values[AnnotationPhase] = string(r.report.Phase)
		values[AnnotationReason] = r.report.Reason
	}
	if len(r.services) > 0 {
		values[AnnotationShare] = r.shares()
	}
	return values
}

// userAnnotation is the user's value of an annotation: the original one while
// the Ingress still has the adjusted value, else the current one.
func (r *rewriter) userAnnotation(name string) string {
	value := r.ingress.Annotations[name]
	original, ok := r.originals.Annotations[name]
	if adjusted, _ := adjustedValue(name, original); ok && value == adjusted {
		return original
	}
	return value
}

// proxyUses are those of Report.Proxies. A path that somebody pointed at a proxy
// Service by hand does not count unless its host is migrated: a proxy Service
// leads to the applications of all other namespaces.
func (r *rewriter) proxyUses() []ProxyUse {
	uses := map[string]ProxyUse{}
	for i := range r.paths {
		p := &r.paths[i]
		if p.service == nil || p.mode != migration.ModeProxy || r.states[p.service.Name].bypassed {
			continue
		}
		use := ProxyUse{Service: proxyServiceName(*p.userBackend), Old: *p.userBackend}
		points := p.spec.Backend.Service.Name == use.Service
		use.Switch = uses[use.Service].Switch || !points && r.pathMigrates(p, migration.ModeProxy)
		uses[use.Service] = use
	}
	return slices.SortedFunc(maps.Values(uses), func(a, b ProxyUse) int { return cmp.Compare(a.Service, b.Service) })
}

// backendEdits edits value by value: a Service backend may have fields that
// these API types do not know.
func backendEdits(path string, current, want backend) []Edit {
	service := path + "/backend/service"
	var edits []Edit
	if current.Name != want.Name {
		edits = append(edits, Edit{"replace", service + "/name", want.Name})
	}
	edits = append(edits, valueEdit(service+"/port/name", current.Port.Name, want.Port.Name)...)
	return append(edits, valueEdit(service+"/port/number", current.Port.Number, want.Port.Number)...)
}

// valueEdit treats the zero value as absent, as the API does.
func valueEdit[T comparable](path string, current, want T) []Edit {
	var zero T
	switch {
	case current == want:
		return nil
	case want == zero:
		return []Edit{{Op: "remove", Path: path}}
	case current == zero:
		return []Edit{{"add", path, want}}
	}
	return []Edit{{"replace", path, want}}
}

// annotationEdit sets an annotation; "" removes it.
func annotationEdit(annotations map[string]string, name, want string) []Edit {
	current, exists := annotations[name]
	switch path := annotationPath(name); {
	case exists && want == "":
		return []Edit{{Op: "remove", Path: path}}
	case exists && current != want:
		return []Edit{{"replace", path, want}}
	case !exists && want != "":
		return []Edit{{"add", path, want}}
	}
	return nil
}

// SetAnnotation gives the edits that set an annotation of the Ingress; value ""
// removes it.
func SetAnnotation(ingress *networkingv1.Ingress, name, value string) []Edit {
	edits := annotationEdit(ingress.Annotations, name, value)
	if ingress.Annotations == nil && len(edits) > 0 {
		edits = append([]Edit{{"add", annotationsPath, map[string]string{}}}, edits...)
	}
	return edits
}

// The escapes of JSON pointers (RFC 6901).
var (
	escapePointer   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
)

const annotationsPath = "/metadata/annotations"

func annotationPath(name string) string { return annotationsPath + "/" + escapePointer.Replace(name) }
