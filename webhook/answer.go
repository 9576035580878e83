package webhook

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// result is what became of a request, as the metrics call it.
type result string

const (
	resultRewritten result = "rewritten" // an Ingress is pointed at the proxy
	resultReverted  result = "reverted"  // an Ingress is edited, and not pointed at the proxy
	resultUnchanged result = "unchanged" // an Ingress is what it must be
	resultPassed    result = "passed"    // not ours to judge: the watcher's own, or being deleted
	resultAllowed   result = "allowed"   // a config
	resultDenied    result = "denied"    // a config
	resultFailed    result = "failed"    // our own failure; an Ingress passes, a config does not
)

const jsonPatch = admissionv1.PatchTypeJSONPatch

// answer is a response, and what to count it as.
type answer struct {
	response admission.Response
	result   result
}

// pass lets the object through.
func pass(as result, warnings ...string) answer {
	return answer{admission.Allowed("").WithWarnings(told(warnings)...), as}
}

// The API server cuts a warning after 256 bytes, and drops what comes after
// 4,096 in all.
const (
	longestWarning = 256
	mostWarnings   = 4096/longestWarning - 1
	speaker        = "migration-proxy: "
)

// told makes sentences fit for the API server: short, few, on one line each,
// and with the name of who warns before them.
func told(warnings []string) []string {
	var lines []string
	for i, warning := range warnings {
		if i == mostWarnings {
			return append(lines, fmt.Sprintf("%sand %d more warnings", speaker, len(warnings)-i))
		}
		lines = append(lines, excerpt.Of(speaker+strings.Join(strings.Fields(warning), " "), longestWarning))
	}
	return lines
}
