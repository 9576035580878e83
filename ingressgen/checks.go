package ingressgen

import (
	"fmt"
	"slices"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Labels and annotations of other controllers.
const (
	solverLabel = "acme.cert-manager.io/http01-solver" // cert-manager sets it on the Ingress of a challenge
	nginx       = "nginx.ingress.kubernetes.io/"
)

// ingressCheck looks at the whole Ingress and gives the reason why nothing of it
// is rewritten; "" lets it pass.
type ingressCheck struct {
	code string
	find func(*rewriter) string
}

// ingressChecks in order; the first that gives a reason decides.
var ingressChecks = []ingressCheck{
	{"Paused", (*rewriter).paused},
	{"NoConfig", (*rewriter).noConfig},
	{CodeSolver, (*rewriter).isSolver},
	{"ModeUnknown", (*rewriter).modeUnknown},
	{"ServiceUnknown", (*rewriter).serviceUnknown},
	{"IsCanary", (*rewriter).isCanary},
	{"TooLarge", (*rewriter).tooLarge},
}

// silentChecks give reasons that the user cannot mend in this Ingress. It is
// restored, and not even the reason is written into it: the command restore
// --all waits until no Ingress carries an annotation of the proxy.
var silentChecks = []string{"Paused", "NoConfig", CodeSolver}

func (r *rewriter) checkIngress() {
	for _, check := range ingressChecks {
		reason := check.find(r)
		if reason == "" {
			continue
		}
		r.report.Phase, r.report.Reason, r.code = status.Bypassed, reason, check.code
		if r.silent = slices.Contains(silentChecks, check.code); !r.silent {
			r.warn("the Ingress is not rewritten: %s", reason)
		}
		return
	}
}

func (r *rewriter) paused() string {
	if r.view.State.Paused == "" {
		return ""
	}
	return "everything is paused: " + r.view.State.Paused
}

func (r *rewriter) noConfig() string {
	if r.view.Table != nil {
		return ""
	}
	return "there is no valid migration config yet"
}

func (r *rewriter) isSolver() string {
	if r.ingress.Labels[solverLabel] == "" {
		return ""
	}
	return "it answers an ACME challenge, which must reach cert-manager"
}

func (r *rewriter) isCanary() string {
	if !IsCanary(r.ingress) {
		return ""
	}
	return "it is itself a canary; opt in the main Ingress instead"
}

func (r *rewriter) modeUnknown() string {
	mode, exists := r.ingress.Annotations[AnnotationMode]
	if !exists || mode == string(migration.ModeProxy) || mode == string(migration.ModeCanary) {
		return ""
	}
	return fmt.Sprintf("annotation %s is %q; write proxy or canary, or leave it out", AnnotationMode, mode)
}

func (r *rewriter) serviceUnknown() string {
	name, exists := r.ingress.Annotations[AnnotationService]
	if !exists || r.view.Table == nil || r.view.Table.Service(migration.Name(name)) != nil {
		return ""
	}
	return fmt.Sprintf("annotation %s names %q, and the migration config has no such service", AnnotationService, name)
}

// What can be rewritten, and put back, is limited by what the API server takes:
// at most 10,000 operations in a patch, of which WithPreconditions needs 8 for a
// path, and 256 KiB of annotations in an object (ValidateAnnotations of
// apimachinery), of which some are left to others.
const (
	maxPaths       = 500
	maxAnnotations = 240 << 10 // bytes, of names and values
)

// tooLarge checks the Ingress as it would be: admission must not turn an Ingress
// that the API server takes into one that it refuses.
func (r *rewriter) tooLarge() string {
	if len(r.paths) > maxPaths {
		return fmt.Sprintf("it has %d paths, and one with more than %d might be too large to be put back; share them out among several Ingresses",
			len(r.paths), maxPaths)
	}
	if size := r.annotationsSize(); size > maxAnnotations {
		return fmt.Sprintf("its annotations would have %d KiB with ours, and Kubernetes stores 256 KiB at most; shorten or remove some", size>>10)
	}
	return ""
}

// annotationsSize is the size of the user's annotations and of annotation
// original with all backends. It is the same before and after a rewrite.
func (r *rewriter) annotationsSize() int {
	var originals originalValues
	for i := range r.paths {
		if p := &r.paths[i]; p.userBackend != nil {
			originals.Backends = append(originals.Backends, originalBackend{pathKey: p.key(), Backend: *p.userBackend})
		}
	}
	size := len(originals.text())
	for name := range r.ingress.Annotations {
		if !slices.Contains(managedAnnotations, name) {
			size += len(name) + len(r.userAnnotation(name))
		}
	}
	return size
}
