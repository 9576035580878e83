package nginxgen

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	crossplane "github.com/nginxinc/nginx-go-crossplane"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
)

// known lists every directive that may occur, except the entries of tables: the
// entries of map, geo and split_clients are keys. A new directive is added here by
// hand, so that its safety is considered.
var known = strings.Fields(`
	#
	access_log add_header
	client_body_temp_path client_body_timeout client_max_body_size
	daemon default_type
	early_hints
	error_log error_page events
	fastcgi_temp_path
	geo
	grpc_buffer_size grpc_connect_timeout grpc_hide_header grpc_ignore_headers
	grpc_next_upstream grpc_next_upstream_timeout grpc_next_upstream_tries
	grpc_pass grpc_pass_header grpc_read_timeout grpc_send_timeout grpc_set_header
	grpc_ssl_certificate grpc_ssl_certificate_key grpc_ssl_conf_command grpc_ssl_name grpc_ssl_protocols
	grpc_ssl_server_name grpc_ssl_trusted_certificate grpc_ssl_verify grpc_ssl_verify_depth
	gzip gzip_proxied gzip_types gzip_vary
	http http2 http2_max_concurrent_streams
	if ignore_invalid_headers
	keepalive keepalive_min_timeout keepalive_requests keepalive_timeout
	large_client_header_buffers listen location log_format
	map map_hash_bucket_size map_hash_max_size msie_padding
	pid
	proxy_buffer_size proxy_buffering proxy_buffers
	proxy_cache proxy_cache_key proxy_cache_path proxy_cache_valid
	proxy_connect_timeout proxy_cookie_domain
	proxy_headers_hash_bucket_size proxy_headers_hash_max_size proxy_http_version
	proxy_hide_header
	proxy_ignore_headers proxy_intercept_errors
	proxy_max_temp_file_size
	proxy_next_upstream proxy_next_upstream_timeout proxy_next_upstream_tries
	proxy_no_cache
	proxy_pass proxy_pass_header proxy_pass_trailers
	proxy_read_timeout proxy_redirect proxy_request_buffering
	proxy_send_timeout proxy_set_header
	proxy_ssl_certificate proxy_ssl_certificate_key proxy_ssl_conf_command proxy_ssl_name
	proxy_ssl_protocols proxy_ssl_server_name proxy_ssl_trusted_certificate proxy_ssl_verify proxy_ssl_verify_depth
	proxy_temp_path
	real_ip_header real_ip_recursive recursive_error_pages return root
	scgi_temp_path server server_name server_names_hash_bucket_size server_names_hash_max_size server_tokens
	set set_real_ip_from split_clients ssl_certificate ssl_certificate_key
	try_files
	underscores_in_headers uninitialized_variable_warn upstream user uwsgi_temp_path
	variables_hash_bucket_size variables_hash_max_size
	worker_connections worker_processes worker_rlimit_nofile worker_shutdown_timeout
`)

var tables = []string{"map", "geo", "split_clients"}

// TestTextIsTheTree asserts that the text, parsed again, is the tree that was
// built: no value became a directive, a block or a second argument.
func TestTextIsTheTree(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, version := range []Version{{1, 22, 1}, {1, 30, 4}} {
		for _, table := range goldenTables(t) {
			draft := newDraft(table, literalEndpoints(table), Params{
				RuntimeDir: "/run/migration proxy", IPv6: true, Workers: 1, User: "nginx", ErrorLog: "stderr",
				Listen: netip.MustParseAddrPort("0.0.0.0:80"), ListenNew: netip.MustParseAddrPort("0.0.0.0:81"), ListenGRPC: netip.MustParseAddrPort("0.0.0.0:82"),
				Version: version, CAFile: "/ca.pem", CADir: "/certs", AnchorFile: "/anchor.pem",
			})
			built := draft.tree()
			text, err := render(built)
			require.NoError(t, err)
			requireSame(t, built, text)
			collect(built, seen)
		}
	}
	require.Equal(t, slices.Sorted(slices.Values(known)), slices.Sorted(maps.Keys(seen)))
}

// TestRenderQuotes asserts that an argument with any characters stays one
// argument. The alphabets of package migration allow few of these characters;
// quoting is the second protection. It has one gap: crossplane does not quote an
// argument that begins with '#', so an argument may begin with a user's text only
// if its alphabet excludes '#' there.
func TestRenderQuotes(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"", " ", "a b", "a;b", "a{b", "a}b", "}", "{", ";", `"`, `a"b`, `'`, `a'b c`, "a#b", "~x", `\x5c`, "$x"} {
		built := directives{line("set", "$a", arg), block("map", []string{"$a", "$b"}, directives{line(arg, arg)})}
		text, err := render(built)
		require.NoError(t, err)
		requireSame(t, built, text)
	}
}

// FuzzTextIsTheTree asserts the same for every config that loads.
func FuzzTextIsTheTree(f *testing.F) {
	inputs, err := filepath.Glob("testdata/*/input.yaml")
	require.NoError(f, err)
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		require.NoError(f, err)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		table, err := config.Load("fuzz", text)
		if err != nil {
			return
		}
		built := newDraft(table, literalEndpoints(table), Params{RuntimeDir: "/run/mp", Workers: 1, Version: Version{1, 22, 1}}).tree()
		printed, err := render(built)
		require.NoError(t, err)
		requireSame(t, built, printed)
		seen := map[string]bool{}
		collect(built, seen)
		for name := range seen {
			require.Contains(t, known, name)
		}
	})
}

func goldenTables(t *testing.T) []*migration.Table {
	inputs, err := filepath.Glob("testdata/*/input.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, inputs)
	var all []*migration.Table
	for _, input := range inputs {
		text, err := os.ReadFile(input)
		require.NoError(t, err)
		table, err := config.Load(input, text)
		require.NoError(t, err)
		all = append(all, table)
	}
	return all
}

// literalEndpoints leaves backends with names unresolved.
func literalEndpoints(table *migration.Table) Endpoints {
	endpoints := Endpoints{}
	for _, s := range table.Services() {
		for _, backend := range s.Backends() {
			endpoints[backend] = nil
			if backend.Scheme == migration.HTTP {
				endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), backend.Port)}
			}
		}
	}
	return endpoints
}

func parse(t *testing.T, text []byte) directives {
	payload, err := crossplane.Parse("nginx.conf", &crossplane.ParseOptions{
		SingleFile: true, ParseComments: true, StopParsingOnError: true,
		SkipDirectiveContextCheck: true, SkipDirectiveArgsCheck: true,
		Open: func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	})
	require.NoError(t, err)
	require.Empty(t, payload.Errors)
	return newlines(payload.Config[0].Parsed)
}

// outline gives one line per directive: its name, its arguments and whether it is
// a block.
func outline(all directives, depth string) []string {
	lines := []string{}
	for _, d := range all {
		if d.IsComment() {
			lines = append(lines, fmt.Sprintf("%s#%s", depth, *d.Comment))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s%q%q block:%t", depth, d.Directive, d.Args, d.IsBlock()))
		lines = append(lines, outline(d.Block, depth+"  ")...)
	}
	return lines
}

func requireSame(t *testing.T, built directives, text []byte) {
	t.Helper()
	want, got := outline(built, ""), outline(parse(t, text), "")
	for i := range min(len(want), len(got)) {
		require.Equal(t, want[i], got[i], "directive %d", i)
	}
	require.Len(t, got, len(want))
}

// newlines replaces \n in arguments by a newline: nginx does, crossplane does not.
func newlines(all directives) directives {
	for _, d := range all {
		for i := range d.Args {
			d.Args[i] = strings.ReplaceAll(d.Args[i], `\n`, "\n")
		}
		newlines(d.Block)
	}
	return all
}

func collect(all directives, seen map[string]bool) {
	for _, d := range all {
		seen[d.Directive] = true
		if !slices.Contains(tables, d.Directive) {
			collect(d.Block, seen)
		}
	}
}
