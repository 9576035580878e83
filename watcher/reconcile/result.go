package reconcile

import (
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Result is the result of reconciling one Ingress: what must be
// known to find it again when a service changes, and what its user should know.
type Result struct {
	Key      types.NamespacedName
	Revision uint64 // of the desired state
	Gone     bool   // it has not opted in, or does not exist; the fields below, but for note, are not set
	Services []migration.Name
	Hosts    []migration.Host
	Phase    status.Phase
	Note     string // what its user should know, also if it is gone; "" is nothing
}

// NewResult takes the services that the Ingress matches, the one
// that its annotation names, and its hosts.
func NewResult(ingress *networkingv1.Ingress, report ingressgen.Report, revision uint64) Result {
	r := Result{
		Key: kube.KeyOf(ingress), Revision: revision, Phase: report.Phase, Gone: report.Phase == "",
		Services: slices.Clone(report.Services), Note: noteOf(report),
	}
	if named := ingress.Annotations[ingressgen.AnnotationService]; named != "" {
		r.Services = append(r.Services, migration.Name(named))
	}
	for i := range ingress.Spec.Rules {
		r.Hosts = append(r.Hosts, migration.Host(ingress.Spec.Rules[i].Host))
	}
	return r
}

// noteOf is what the user of the Ingress should know; "" is nothing.
func noteOf(report ingressgen.Report) string {
	return strings.Join(slices.Sorted(slices.Values(report.Warnings)), "; ")
}
