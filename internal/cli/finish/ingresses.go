package finish

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// asWritten is the Ingress with the annotations that its user wrote.
func asWritten(ingress *networkingv1.Ingress) *networkingv1.Ingress {
	written := ingress.DeepCopy()
	const prefix = "/metadata/annotations/"
	for _, edit := range ingressgen.Release(ingress, ingressgen.View{}).Edits {
		path, ok := strings.CutPrefix(edit.Path, prefix)
		if !ok {
			continue
		}
		name := strings.NewReplacer("~1", "/", "~0", "~").Replace(path)
		switch edit.Op {
		case "add", "replace":
			written.Annotations[name] = fmt.Sprint(edit.Value)
		case "remove":
			delete(written.Annotations, name)
		}
	}
	return written
}
