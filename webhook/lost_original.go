package webhook

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// restoreLostOriginal puts annotation original back into an Ingress that still
// points at the proxy but lost the annotation, without which it cannot be
// restored: somebody removed the annotations from a copy of the rewritten
// Ingress and wrote it back. It changes the Ingress, and gives the edits that do
// the same.
func restoreLostOriginal(ingress, stored *networkingv1.Ingress) []ingressgen.Edit {
	const name = ingressgen.AnnotationOriginal
	if _, exists := ingress.Annotations[name]; exists || stored == nil || stored.Annotations[name] == "" || !ingressgen.ThroughProxy(ingress) {
		return nil
	}
	edits := ingressgen.SetAnnotation(ingress, name, stored.Annotations[name])
	if ingress.Annotations == nil {
		ingress.Annotations = map[string]string{}
	}
	ingress.Annotations[name] = stored.Annotations[name]
	return edits
}
