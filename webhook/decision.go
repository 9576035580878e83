package webhook

import (
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// result is the outcome of a request in the metrics.
type result string

const (
	resultRewritten result = "rewritten" // an Ingress was pointed at the proxy
	resultReverted  result = "reverted"  // an Ingress was edited, and does not point at the proxy
	resultUnchanged result = "unchanged" // an Ingress needed no edits
	resultPassed    result = "passed"    // an Ingress was not looked at: it is the watcher's, or is being deleted
	resultAllowed   result = "allowed"   // a config
	resultDenied    result = "denied"    // a config
	resultFailed    result = "failed"    // a failure of the webhook: an Ingress passes, a config does not
)

// decision is the response to a request, and its result.
type decision struct {
	response admission.Response
	result   result
}

// allow lets the object pass unchanged.
func allow(as result, warnings ...string) decision {
	return decision{admission.Allowed("").WithWarnings(formatWarnings(warnings)...), as}
}

// The API server cuts a warning after 256 bytes, and drops all warnings after
// the first 4,096 bytes.
const (
	maxWarningBytes = 256
	maxWarnings     = 4096/maxWarningBytes - 1 // and one line that counts the others
	warningPrefix   = "migration-proxy: "
)

// formatWarnings makes each warning one short line that begins with the name of
// the program, and counts the warnings that do not fit.
func formatWarnings(warnings []string) []string {
	var lines []string
	for i, warning := range warnings {
		if i == maxWarnings {
			return append(lines, fmt.Sprintf("%sand %d more warnings", warningPrefix, len(warnings)-i))
		}
		lines = append(lines, excerpt.Of(warningPrefix+strings.Join(strings.Fields(warning), " "), maxWarningBytes))
	}
	return lines
}
