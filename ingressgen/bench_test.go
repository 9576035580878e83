package ingressgen_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/migration"
)

// BenchmarkRewrite does the work of one admission request: an Ingress with two
// hosts, each with a service, in a table of many services.
func BenchmarkRewrite(b *testing.B) {
	for _, services := range []int{10, 1000, 5000} {
		b.Run(fmt.Sprintf("services=%d", services), func(b *testing.B) {
			view := serving(manyServices(b, services))
			ingress := twoHosts()
			require.Len(b, ingressgen.Rewrite(ingress, view).Services, 2)
			b.ReportAllocs()
			for b.Loop() {
				ingressgen.Rewrite(ingress, view)
			}
		})
	}
}

func manyServices(b *testing.B, count int) *migration.Table {
	b.Helper()
	var services []migration.Service
	for i := range count {
		services = append(services, migration.Service{
			Name:       migration.Name(fmt.Sprintf("api-%04d", i)),
			OldHost:    migration.Host(fmt.Sprintf("api-%04d.shop.example.com", i)),
			PathPrefix: "/", Mode: migration.ModeProxy, Timeout: time.Second, Enabled: true, Share: 2000,
			OldBackend: migration.Backend{Scheme: migration.HTTP, Host: fmt.Sprintf("api-%04d.shop.svc.cluster.local", i), Port: 8080},
		})
	}
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(b, err)
	return table
}

func twoHosts() *networkingv1.Ingress {
	prefix := networkingv1.PathTypePrefix
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Name: "api", Namespace: "shop", Annotations: map[string]string{ingressgen.AnnotationEnabled: "true"},
	}}
	for _, name := range []string{"api-0003", "api-0007"} {
		path := networkingv1.HTTPIngressPath{Path: "/", PathType: &prefix}
		path.Backend.Service = &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 8080}}
		rule := networkingv1.IngressRule{Host: name + ".shop.example.com"}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}
		ingress.Spec.Rules = append(ingress.Spec.Rules, rule)
	}
	return ingress
}
