package objects

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
)

// TestNeighborMemory: an Ingress that has not opted in takes less than 4 KB.
// A Helm chart of an application made this one.
func TestNeighborMemory(t *testing.T) {
	const count = 5000
	const text = `{"metadata":{"name":"app-%[1]d","namespace":"team-%[2]d","uid":"7c9a3c2e-6c1f-4d3a-9a55-%012[1]d","resourceVersion":"%[1]d",
		"labels":{"app.kubernetes.io/name":"app","helm.sh/chart":"app-1.2.3","app.kubernetes.io/managed-by":"Helm"},
		"annotations":{"cert-manager.io/cluster-issuer":"letsencrypt","nginx.ingress.kubernetes.io/proxy-body-size":"8m","meta.helm.sh/release-name":"app-%[1]d"},
		"managedFields":[{"manager":"helm","operation":"Update","apiVersion":"networking.k8s.io/v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{}}}}]},
		"spec":{"ingressClassName":"nginx","tls":[{"hosts":["app-%[1]d.example.com"],"secretName":"app-%[1]d-tls"}],
		"rules":[{"host":"app-%[1]d.example.com","http":{"paths":[
			{"path":"/","pathType":"Prefix","backend":{"service":{"name":"app-%[1]d","port":{"name":"http"}}}},
			{"path":"/api","pathType":"Prefix","backend":{"service":{"name":"api-%[1]d","port":{"number":8080}}}}]}}]},
		"status":{"loadBalancer":{"ingress":[{"ip":"10.0.0.1"}]}}}`
	store := newIngressStore(kube.NewFailureLog(slog.New(slog.DiscardHandler)))
	before := allocated()
	for i := range count {
		ingress := &networkingv1.Ingress{}
		require.NoError(t, json.Unmarshal(fmt.Appendf(nil, text, i, i/20), ingress))
		store.ObserveWrite(ingress)
	}
	each := (allocated() - before) / count
	t.Logf("%d bytes for each of %d Ingresses", each, count)
	require.Less(t, each, uint64(4000))
	require.Len(t, store.List(), count)
	runtime.KeepAlive(store)
}

func allocated() uint64 {
	runtime.GC()
	runtime.GC() // the first call only moves pooled memory to where the second frees it
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
