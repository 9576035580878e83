package nginxgen_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

func BenchmarkGenerate(b *testing.B) {
	for _, services := range []int{100, 1000, 2400} {
		b.Run(fmt.Sprint(services), func(b *testing.B) {
			table := manyServices(b, services, "/")
			endpoints, params := testEndpoints(table), standardParams(debian)
			for b.Loop() {
				generated, err := nginxgen.Generate(table, endpoints, params)
				require.NoError(b, err)
				b.SetBytes(int64(len(generated.Text)))
			}
		})
	}
}

// BenchmarkNginxTest measures nginx -t, which every reload repeats: parsing is
// nginx's part of the time until a change is in force. A service with a path
// prefix has three locations for its requests, see looseLocations; one with "/"
// has one.
func BenchmarkNginxTest(b *testing.B) {
	for _, prefix := range []string{"/", "/api"} {
		for _, services := range []int{100, 1000, 2400} {
			b.Run(fmt.Sprintf("%s/%d", strings.Trim("path"+prefix, "/"), services), func(b *testing.B) {
				table, machine := manyServices(b, services, prefix), newMachine(b)
				generated, err := nginxgen.Generate(table, testEndpoints(table), standardParams(nginxVersion(b)))
				require.NoError(b, err)
				b.ReportMetric(float64(len(generated.Text)), "bytes/config")
				for b.Loop() {
					machine.requireAccepted(b, generated.Text)
				}
			})
		}
	}
}

// manyServices gives a table of n services with distinct old and new hosts, https
// to new, and one of four sets of rules.
func manyServices(tb testing.TB, n int, prefix string) *migration.Table {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range n {
		fmt.Fprintf(&text, `  - name: service-%[1]d
    old_host: service-%[1]d.team-%[2]d.example.com
    path_prefix: %[5]s
    old_backend: http://10.%[3]d.%[4]d.1:8080
    new_host: service-%[1]d.new.example.com
    new_backend: https://gateway.new.example.com
    canary:
      header_rules: [{header: X-Migration-Target, value: "new-%[2]d", target: new_cluster}]
`, i, i%4, i/256, i%256, prefix)
	}
	table, err := config.Load("many.yaml", []byte(text.String()))
	require.NoError(tb, err)
	return table
}
