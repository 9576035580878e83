package nginxgen_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestHashSizesGrow asserts that nginx gets larger hash tables for more
// services and maps than fit into the least sizes.
func TestHashSizesGrow(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 600 {
		fmt.Fprintf(&text, `  - {name: s%[1]d, old_host: s%[1]d.example.com, old_backend: "http://192.0.2.1:80",
     new_host: s%[1]d.new.example.com, new_backend: "http://192.0.2.2:80",
     canary: {header_rules: [{header: X-Target, value: "v%[1]d", target: new_cluster}]}}
`, i)
	}
	table, err := config.Load("many.yaml", []byte(text.String()))
	require.NoError(t, err)
	generated, err := nginxgen.Generate(table, testEndpoints(table), standardParams(debian))
	require.NoError(t, err)
	require.Contains(t, string(generated.Text), "server_names_hash_max_size 2400;", "4 for each of 600 services")
	require.Contains(t, string(generated.Text), "variables_hash_max_size 4800;", "4 for each of 1,200 maps")
}

// TestWorkerConnections asserts that a worker has two open files for each
// connection, and never more than 8192 connections.
func TestWorkerConnections(t *testing.T) {
	t.Parallel()
	table := loadCase(t, "testdata/minimal").table
	for files, connections := range map[int]int{0: 8192, 1000: 500, 16384: 8192, 16382: 8191, 100000: 8192} {
		params := standardParams(debian)
		params.OpenFiles = files
		generated, err := nginxgen.Generate(table, testEndpoints(table), params)
		require.NoError(t, err)
		require.Contains(t, string(generated.Text), fmt.Sprintf("worker_connections %d;", connections), "open files: %d", files)
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	version, err := nginxgen.ParseVersion("nginx version: nginx/1.22.1")
	require.NoError(t, err)
	require.Equal(t, nginxgen.Version{Major: 1, Minor: 22, Patch: 1}, version)
	require.Equal(t, "1.22.1", version.String())
	for _, text := range []string{"", "nginx/1.22", "1.22.1"} {
		_, err := nginxgen.ParseVersion(text)
		require.ErrorContains(t, err, "no nginx version in", text)
	}
	_, err = nginxgen.ParseVersion("nginx/1.22.99999999999999999999")
	require.ErrorContains(t, err, "value out of range")
}

func TestVersionBefore(t *testing.T) {
	t.Parallel()
	ordered := []nginxgen.Version{{0, 99, 99}, {1, 22, 1}, {1, 22, 2}, {1, 27, 3}, {1, 27, 4}, {1, 29, 0}, {2, 0, 0}}
	for i, v := range ordered {
		for j, w := range ordered {
			require.Equal(t, i < j, v.Before(w), "%s before %s", v, w)
		}
		require.Equal(t, i < 4, v.NeedsDrain(), "%s", v)
	}
}

// TestAsManyAddressesAsTries asserts that nginx sets no address aside while the
// tries reach all of them.
func TestAsManyAddressesAsTries(t *testing.T) {
	t.Parallel()
	c := loadCase(t, "testdata/minimal")
	c.Endpoints = map[string][]string{"api.team.svc.cluster.local:8080": {"192.0.2.11:80", "192.0.2.12:80", "192.0.2.13:80"}}
	text := string(c.generate(t, debian).Text)
	require.Contains(t, text, "server 192.0.2.13:80 max_fails=0;")
	require.NotContains(t, text, "max_fails=1")
}
