package ingressgen_test

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

const exampleConfig = `
services:
  - name: api
    old_host: api.example.com
    old_backend: api.shop.svc:8080
    new_host: api.new.example.com
    new_backend: api.new.example.com:443
    migration: {enabled: true, percentage: 20}
`

// exampleIngress is an opted-in Ingress with one path and an own annotation of
// its user.
func exampleIngress() *networkingv1.Ingress {
	path := networkingv1.HTTPIngressPath{Path: "/", PathType: new(networkingv1.PathTypePrefix)}
	path.Backend.Service = &networkingv1.IngressServiceBackend{Name: "api", Port: networkingv1.ServiceBackendPort{Number: 8080}}
	rule := networkingv1.IngressRule{Host: "api.example.com"}
	rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "api", Annotations: map[string]string{ingressgen.AnnotationEnabled: "true"}},
		Spec:       networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{rule}},
	}
}

// exampleView is a cluster in which the replicas serve service api.
func exampleView() ingressgen.View {
	table, err := config.Load("migration.yaml", []byte(exampleConfig))
	if err != nil {
		panic(err)
	}
	state := status.Cluster{Services: map[string]status.ClusterService{
		"api": {Host: "api.example.com", PathPrefix: "/", Phase: status.Migrating},
	}}
	return ingressgen.View{Table: table, State: state}
}

func ExampleRewrite() {
	report := ingressgen.Rewrite(exampleIngress(), exampleView())
	fmt.Println(report.Phase, report.Services, report.Proxies[0].Service)
	for _, edit := range report.Edits {
		fmt.Println(edit.Op, edit.Path, edit.Value)
	}
	// Output:
	// Migrating [api] migration-proxy-api-b97c3dad
	// replace /spec/rules/0/http/paths/0/backend/service/name migration-proxy-api-b97c3dad
	// add /metadata/annotations/migration-proxy.io~1original {"backends":[{"host":"api.example.com","path":"/","pathType":"Prefix","backend":{"name":"api","port":{"number":8080}}}]}
	// add /metadata/annotations/migration-proxy.io~1phase Migrating
	// add /metadata/annotations/migration-proxy.io~1share 20
}

func ExampleRewrite_notRewritten() {
	ingress := exampleIngress()
	ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = "web"
	report := ingressgen.Rewrite(ingress, exampleView())
	fmt.Println(report.Phase)
	for _, warning := range report.Warnings {
		fmt.Println(warning)
	}
	// Output:
	// Bypassed
	// rules[0].paths[0] (api.example.com/) is not rewritten: it points at web:8080, and service api has old_backend api.shop.svc:8080; if it is the same application, say so with annotation migration-proxy.io/service: api
}

func ExampleWithPreconditions() {
	ingress := exampleIngress()
	edits := ingressgen.SetAnnotation(ingress, ingressgen.AnnotationEnabled, "false")
	for _, edit := range ingressgen.WithPreconditions(ingress, edits) {
		fmt.Println(edit.Op, edit.Path, edit.Value)
	}
	// Output:
	// test /metadata/annotations/migration-proxy.io~1enabled true
	// test /metadata/annotations/migration-proxy.io~1enabled true
	// replace /metadata/annotations/migration-proxy.io~1enabled false
}
