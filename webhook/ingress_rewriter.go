package webhook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	admissionv1 "k8s.io/api/admission/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// ingressRewriter rewrites opted-in Ingresses.
type ingressRewriter struct {
	cache *ConfigCache
	ports *portCache
	self  string // the user whose requests pass: the watcher; "" is nobody
	log   *slog.Logger
	audit audit
}

// decide decodes the Ingress, asks ingressgen how it must change, and answers
// with these edits. An error means that the edits are not known.
func (h *ingressRewriter) decide(ctx context.Context, request admission.Request) (decision, error) {
	own := h.self != "" && request.UserInfo.Username == h.self
	if own || request.SubResource != "" {
		return allow(resultPassed), nil
	}
	ingress, err := decodeIngress(request.Object.Raw, request.Namespace)
	if err != nil {
		return decision{}, err
	}
	if ingress.DeletionTimestamp != nil {
		return allow(resultPassed), nil
	}
	if err := h.cache.Synced(); err != nil {
		return decision{}, err
	}
	stored := h.decodeStored(request)
	current := h.cache.current.Load()
	edits := restoreLostOriginal(ingress, stored)
	report := ingressgen.Rewrite(ingress, ingressgen.View{
		Table: current.table, State: current.state, Admission: &ingressgen.Admission{Stored: stored},
		Ports: &portLookup{portCache: h.ports, ctx: ctx, namespace: ingress.Namespace},
	})
	made, err := h.patch(request, report, append(edits, report.Edits...))
	if err == nil {
		made.response.AuditAnnotations = h.audit.ingress(request, ingress, stored)
	}
	return made, err
}

// decodeStored is the Ingress that the request replaces; nil if it makes a new one.
func (h *ingressRewriter) decodeStored(request admission.Request) *networkingv1.Ingress {
	if len(request.OldObject.Raw) == 0 {
		return nil
	}
	stored, err := decodeIngress(request.OldObject.Raw, request.Namespace)
	if err != nil {
		h.log.Warn("stored Ingress not read, treating it as new", "ingress", request.Namespace+"/"+request.Name, "error", err)
		return nil
	}
	return stored
}

// onError lets the Ingress pass unchanged: a migration tool must not stop a
// deploy. The watcher repairs it.
func (h *ingressRewriter) onError(err error) admission.Response {
	return admission.Allowed("").WithWarnings(formatWarnings([]string{
		"the Ingress was let through as it is and will be looked at again soon: " + err.Error(),
	})...)
}

// patch is the decision that makes the edits.
func (h *ingressRewriter) patch(request admission.Request, report ingressgen.Report, edits []ingressgen.Edit) (decision, error) {
	if len(edits) == 0 {
		return allow(resultUnchanged, report.Warnings...), nil
	}
	patch, err := json.Marshal(edits)
	if err != nil {
		return decision{}, fmt.Errorf("encode the edits: %w", err)
	}
	result := resultReverted
	if report.Phase == status.Migrating {
		result = resultRewritten
	}
	h.log.Debug("edited Ingress at admission", "ingress", request.Namespace+"/"+cmp.Or(request.Name, "(new)"),
		"result", result, "phase", report.Phase, "reason", report.Reason, "edits", len(edits))
	made := allow(result, report.Warnings...)
	made.response.Patch, made.response.PatchType = patch, new(admissionv1.PatchTypeJSONPatch)
	return made, nil
}

// partialIngress is an Ingress without status and managedFields. Decoding these
// takes a sixth of the time or more, and nothing depends on them.
type partialIngress struct {
	Metadata struct {
		metav1.ObjectMeta
		ManagedFields ignoredJSON `json:"managedFields"` // hides the field of ObjectMeta
	} `json:"metadata"`
	Spec networkingv1.IngressSpec `json:"spec"`
}

// ignoredJSON takes any JSON value and keeps nothing.
type ignoredJSON struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*ignoredJSON) UnmarshalJSON([]byte) error { return nil }

// decodeIngress takes the namespace of the request: the API server fills that of the object
// in only after admission, and what the object says may be forged.
func decodeIngress(raw []byte, namespace string) (*networkingv1.Ingress, error) {
	var partial partialIngress
	if err := json.Unmarshal(raw, &partial); err != nil {
		return nil, fmt.Errorf("read the Ingress: %w", err)
	}
	ingress := &networkingv1.Ingress{ObjectMeta: partial.Metadata.ObjectMeta, Spec: partial.Spec}
	ingress.Namespace = cmp.Or(namespace, ingress.Namespace)
	return ingress, nil
}
