package nginxgen_test

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// A service with one address per side. The upstreams of the text show which
// address belongs to which side.
func ExampleGenerate() {
	table, err := config.Load("config.yaml", []byte(`
services:
  - name: api
    old_host: api.example.com
    old_backend: http://192.0.2.1:8080
    new_host: api.new.example.com
    new_backend: http://192.0.2.2:8080
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoints := nginxgen.Endpoints{}
	for _, service := range table.Services() {
		endpoints[service.OldBackend] = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:8080")}
		endpoints[service.NewBackend] = []netip.AddrPort{netip.MustParseAddrPort("192.0.2.2:8080")}
	}
	generated, err := nginxgen.Generate(table, endpoints, nginxgen.Params{
		RuntimeDir: "/run/migration-proxy",
		Listen:     netip.MustParseAddrPort("0.0.0.0:8000"),
		ListenNew:  netip.MustParseAddrPort("0.0.0.0:8001"),
		Workers:    2,
		ErrorLog:   "stderr",
		Version:    nginxgen.Version{Major: 1, Minor: 30, Patch: 4},
		CAFile:     "/etc/ssl/certs/ca-certificates.crt",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("rules:", generated.Rules)
	for line := range strings.Lines(string(generated.Text)) {
		if strings.HasPrefix(line, "    upstream") || strings.Contains(line, "server 192.0.2.") {
			fmt.Print(strings.TrimPrefix(line, "    "))
		}
	}
	// Output:
	// rules: [direct]
	// upstream a87.api.old {
	//     server 192.0.2.1:8080 max_fails=0;
	//     server 192.0.2.1:8080 max_fails=0;
	//     server 192.0.2.1:8080 max_fails=0;
	// upstream a87.api.new {
	//     server 192.0.2.2:8080 max_fails=0;
	//     server 192.0.2.2:8080 max_fails=0;
	//     server 192.0.2.2:8080 max_fails=0;
}
