package scan_test

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/scan"
)

// One Ingress, and no migration config yet.
func ExampleSuggest() {
	ingress := ingressOf("shop", "web", at{"shop.example.com", "/", "web"}, at{"shop.example.com", "/cart", "web"})
	suggestions := scan.Suggest(scan.Objects{Ingresses: []*networkingv1.Ingress{ingress}}, nil)
	fmt.Print(scan.Text(suggestions))
	// Output:
	// # The services of a migration config, one for each application that Ingresses name.
	// # Everything goes to old. Write in the place of CHANGE-ME where the new cluster
	// # serves each application, and check it with 'migration-proxy validate FILE'.
	// services:
	//   - name: "shop.example.com"
	//     old_host: "shop.example.com"
	//     path_prefix: "/"
	//     old_backend: "http://web.shop.svc.cluster.local:80"
	//     new_host: CHANGE-ME
	//     new_backend: CHANGE-ME:443
	//     migration: {enabled: true, percentage: 0}
}

// With this migration config in force, path / would be migrated with a warning. Path
// /metrics is of a Service that the config does not name for this host, so it stays at old.
func ExampleExamine() {
	ingress := ingressOf("shop", "web", at{"shop.example.com", "/", "web"}, at{"shop.example.com", "/metrics", "metrics"})
	ingress.Annotations = map[string]string{"nginx.ingress.kubernetes.io/affinity": "cookie"}
	table, err := config.Load("migration.yaml", []byte(`services:
  - name: shop
    old_host: shop.example.com
    old_backend: web.shop.svc:80
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, percentage: 0}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	result := scan.Examine(scan.Objects{Ingresses: []*networkingv1.Ingress{ingress}}, table, nil)
	for _, path := range result.Ingresses[0].Paths {
		fmt.Println(path.Path, path.Verdict)
		for _, reason := range path.Reasons {
			fmt.Println("  " + reason)
		}
	}
	// Output:
	// / warned
	//   annotation nginx.ingress.kubernetes.io/affinity: The controller's cookie now selects a pod of the proxy, not a pod of the old Service: sessions that are kept in one pod's memory break.
	// /metrics refused
	//   it points at metrics:80, and service shop has old_backend web.shop.svc:80; if it is the same application, say so with annotation migration-proxy.io/service: shop
}
