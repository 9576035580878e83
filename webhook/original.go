package webhook

import (
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// lostOriginal heals an Ingress whose writer threw away annotation original,
// by which alone it can be restored, but kept what points at the proxy:
// somebody cleaned up what they had got from the cluster and wrote it back.
// The annotation is put back, into the Ingress and by the edits that are
// given, before anything is decided.
func lostOriginal(ingress *networkingv1.Ingress, old []byte) []ingressgen.Edit {
	const name = ingressgen.AnnotationOriginal
	if _, kept := ingress.Annotations[name]; kept || len(old) == 0 || !ingressgen.ThroughProxy(ingress) {
		return nil
	}
	before, err := decode(old, ingress.Namespace)
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
