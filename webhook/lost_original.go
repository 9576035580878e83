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
func restoreLostOriginal(ingress *networkingv1.Ingress, old []byte) []ingressgen.Edit {
	const name = ingressgen.AnnotationOriginal
	if _, exists := ingress.Annotations[name]; exists || len(old) == 0 || !ingressgen.ThroughProxy(ingress) {
		return nil
	}
	before, err := decodeIngress(old, ingress.Namespace)
	if err != nil || before.Annotations[name] == "" {
		return nil
	}
	edits := ingressgen.SetAnnotation(ingress, name, before.Annotations[name])
	if ingress.Annotations == nil {
		ingress.Annotations = map[string]string{}
	}
	ingress.Annotations[name] = before.Annotations[name]
	return edits
}
