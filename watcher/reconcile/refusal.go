package reconcile

import (
	"errors"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// hold is why an Ingress must not point at the proxy for now, and the reason of
// the Event that says so. The zero hold is none.
type hold struct{ reason, event string }

// holdBecause tells whether an error lasts until somebody changes something: a
// foreign object has a name that is needed, or the API server refuses a write for
// a policy, an admission webhook, a quota or a missing right.
func holdBecause(err error) (because hold, held bool) {
	var foreign *foreignError
	switch {
	case errors.As(err, &foreign):
		return hold{foreign.Error(), events.NotRewritten}, true
	case isRefused(err):
		text := "the API server refuses to let the Ingress point at the proxy: " + err.Error()
		return hold{excerpt.Of(text, servicestate.MaxReasonBytes), events.WriteRefused}, true
	}
	return hold{}, false
}

func isRefused(err error) bool {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsTooManyRequests(err) {
		return false
	}
	code := answer.Status().Code
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError
}
