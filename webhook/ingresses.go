package webhook

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// ingresses rewrites opted-in Ingresses.
type ingresses struct {
	view  *View
	ports *portCache
	self  string // whose requests pass: the watcher's; "" is nobody
	log   *slog.Logger
}

// decide answers with the edits that the Ingress needs. An error means that
// they are not known; the Ingress then passes as it came.
func (h *ingresses) decide(ctx context.Context, request admission.Request) (answer, error) {
	own := h.self != "" && request.UserInfo.Username == h.self
	if own || request.SubResource != "" {
		return pass(resultPassed), nil
	}
	ingress, err := decode(request.Object.Raw, request.Namespace)
	if err != nil {
		return answer{}, err
	}
	if ingress.DeletionTimestamp != nil {
		return pass(resultPassed), nil
	}
	if err := h.view.Synced(); err != nil {
		return answer{}, err
	}
	now := h.view.now.Load()
	lost := lostOriginal(ingress, request.OldObject.Raw)
	report := ingressgen.Rewrite(ingress, ingressgen.View{
		Table: now.table, State: now.state, Ports: &portLookup{portCache: h.ports, ctx: ctx, namespace: ingress.Namespace},
	})
	return h.edited(request, report, append(lost, report.Edits...))
}

// asked is an Ingress as far as it is read: without status and managedFields,
// which take a sixth of the time of reading, and more the more there are.
type asked struct {
	Metadata struct {
		metav1.ObjectMeta
		ManagedFields unread `json:"managedFields"` // covers ObjectMeta's
	} `json:"metadata"`
	Spec networkingv1.IngressSpec `json:"spec"`
}

// unread takes any JSON value and keeps nothing.
type unread struct{}

// UnmarshalJSON implements json.Unmarshaler.
func (*unread) UnmarshalJSON([]byte) error { return nil }

func decode(raw []byte, namespace string) (*networkingv1.Ingress, error) {
	var read asked
	if err := json.Unmarshal(raw, &read); err != nil {
		return nil, fmt.Errorf("read the Ingress: %w", err)
	}
	ingress := &networkingv1.Ingress{ObjectMeta: read.Metadata.ObjectMeta, Spec: read.Spec}
	ingress.Namespace = cmp.Or(ingress.Namespace, namespace)
	return ingress, nil
}

// edited is the answer for a report.
func (h *ingresses) edited(request admission.Request, report ingressgen.Report, edits []ingressgen.Edit) (answer, error) {
	if len(edits) == 0 {
		return pass(resultUnchanged, report.Warnings...), nil
	}
	patch, err := json.Marshal(edits)
	if err != nil {
		return answer{}, fmt.Errorf("write the edits: %w", err)
	}
	result := resultReverted
	if report.Phase == status.Migrating {
		result = resultRewritten
	}
	h.log.Debug("Ingress edited at admission", "ingress", request.Namespace+"/"+cmp.Or(request.Name, "(new)"),
		"result", result, "phase", report.Phase, "reason", report.Reason, "edits", len(edits))
	given := pass(result, report.Warnings...)
	given.response.Patch, given.response.PatchType = patch, new(jsonPatch)
	return given, nil
}
