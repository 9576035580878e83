package nginxgen_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestEqualBackendsShareAnUpstream asserts which pairs of services share the upstream
// block of new, and of old: those for which nginx does the same with one as with two.
func TestEqualBackendsShareAnUpstream(t *testing.T) {
	t.Parallel()
	const http, https = "new_backend: http://192.0.2.2:80", "new_backend: https://192.0.2.2:443"
	for _, pair := range []struct {
		name, first, second string
		blocks              int // upstream blocks of new
	}{
		{"http", http, http, 1},
		{"other settings of the location", http, http + ", timeout: 7s, connect_timeout: 3s", 1},
		{"other port", http, "new_backend: http://192.0.2.2:81", 2},
		{"other keepalive", http, http + ", keepalive: {idle: 1s}", 2},
		{"http and https", "new_backend: http://192.0.2.2:443", https, 2},
		{"https, each with its name", https, https, 2},
		{"https, one name", https + ", tls: {server_name: gateway.example.com}", https + ", tls: {server_name: gateway.example.com}", 1},
		{"one name is not verified", https + ", tls: {server_name: gateway.example.com}", https + ", tls: {server_name: gateway.example.com, verify: false}", 2},
		{"HTTP/2", http, http + ", protocol: grpc, fallback: {enabled: false}", 2},
	} {
		table := servicesWith(t, pair.first, pair.second)
		text := generated(t, table, testEndpoints(table), debian)
		require.Equal(t, pair.blocks, strings.Count(text, ".new {"), pair.name)
	}
}

func TestSharedUpstreamKeepsConnectionsOfAll(t *testing.T) {
	t.Parallel()
	const backend = "new_backend: http://192.0.2.2:80, old_backend: http://192.0.2.1:80"
	for connections, kept := range map[int]int{10: 20, 700: 1024, 2000: 2000} {
		table := servicesWith(t, fmt.Sprintf("%s, keepalive: {connections: %d}", backend, connections), fmt.Sprintf("%s, keepalive: {connections: %d}", backend, connections))
		text := generated(t, table, testEndpoints(table), debian)
		require.Equal(t, 2, strings.Count(text, fmt.Sprintf("keepalive %d;", kept)), "%d: old and new", connections)
	}
}

// TestServicesWithFailuresOfTheirOwnShareNothing asserts that a service whose upstream sets
// failed addresses aside, or has none, has it alone.
func TestServicesWithFailuresOfTheirOwnShareNothing(t *testing.T) {
	t.Parallel()
	const backend = "new_backend: http://gateway.example.net:80"
	table := servicesWith(t, backend, backend)
	for addresses, blocks := range map[int]int{0: 2, 1: 1, 3: 1, 4: 2} {
		endpoints := testEndpoints(table)
		key, err := migration.ParseBackend("http://gateway.example.net:80")
		require.NoError(t, err)
		endpoints[key] = nil
		for i := range addresses {
			endpoints[key] = append(endpoints[key], netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}), 80))
		}
		require.Equal(t, blocks, strings.Count(generated(t, table, endpoints, debian), ".new {"), "%d addresses", addresses)
	}
}

// TestUsualCAIsWrittenOnce asserts that a ca_file which most services have stands in the
// http block, and that no service is checked against certificates that are not its own.
func TestUsualCAIsWrittenOnce(t *testing.T) {
	t.Parallel()
	const own, usual, system = "tls: {ca_file: /own.pem}", "tls: {ca_file: /usual.pem}", "tls: {server_name: a.example.com}"
	table := servicesWith(t, usual, usual, own, system)
	shared := nginxgen.Version{Major: 1, Minor: 30, Patch: 4}
	text := generated(t, table, testEndpoints(table), shared)
	before, servers, _ := strings.Cut(text, "server_name s0.example.com;")
	require.Contains(t, before, "proxy_ssl_trusted_certificate /usual.pem;")
	require.NotContains(t, servers, "/usual.pem")
	require.Equal(t, 1, strings.Count(servers, "\n        proxy_ssl_trusted_certificate /own.pem;"), "in the server block")
	require.Equal(t, 1, strings.Count(servers, "\n        proxy_ssl_trusted_certificate /etc/ssl/certs/ca-certificates.crt;"), "in the server block")
	require.NotContains(t, generated(t, table, testEndpoints(table), debian), "\n        proxy_ssl_trusted_certificate", "before 1.23.2 nothing is shared")
}

// TestClientCertificateIsForNewAlone asserts that an https old does not inherit it.
func TestClientCertificateIsForNewAlone(t *testing.T) {
	t.Parallel()
	const pair = "tls: {client_cert_file: /c.pem, client_key_file: /c.key}"
	shared := nginxgen.Version{Major: 1, Minor: 30, Patch: 4}
	for line, in := range map[string]string{pair: "\n        ", pair + ", old_backend: https://192.0.2.1:443": "\n            "} {
		table := servicesWith(t, line)
		require.Contains(t, generated(t, table, testEndpoints(table), shared), in+"proxy_ssl_certificate /c.pem;")
		_, old, _ := strings.Cut(generated(t, table, testEndpoints(table), shared), "location @old.")
		require.NotContains(t, old, "/c.pem")
	}
}

// servicesWith gives a table of services with these more keys. Old is http, new https,
// where they do not say it.
func servicesWith(t *testing.T, more ...string) *migration.Table {
	t.Helper()
	text := "services:\n"
	for i, keys := range more {
		for key, value := range map[string]string{"old_backend": fmt.Sprintf("http://10.0.0.%d:80", i+1), "new_backend": "https://192.0.2.2:443"} {
			if !strings.Contains(keys, key) {
				keys += ", " + key + ": " + value
			}
		}
		text += fmt.Sprintf("  - {name: s%[1]d, old_host: s%[1]d.example.com, new_host: s%[1]d.new.example.com, %[2]s}\n", i, keys)
	}
	table, err := config.Load("services.yaml", []byte(text))
	require.NoError(t, err, text)
	return table
}

func generated(t *testing.T, table *migration.Table, endpoints nginxgen.Endpoints, version nginxgen.Version) string {
	t.Helper()
	config, err := nginxgen.Generate(table, endpoints, standardParams(version))
	require.NoError(t, err)
	return string(config.Text)
}
