package nginxgen_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	crossplane "github.com/nginxinc/nginx-go-crossplane"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// hostile has values that are special to nginx, YAML, PCRE, shells or file
// systems.
var hostile = []string{
	"", " ", "a b", " a", "a ", "'", "\"", "it's", `say "x"`, "`", "{", "}", "{}", "a{b}", ";", "a;b", "a; }", "x;}server{listen 1;}#",
	"$", "$host", "${host}", "${x}", "a$", "$1", "$$", "\n", "a\nb", "a\n", "\r", "a\r\nb", "\x00", "a\x00b", "\t", "a\tb", "\x01", "\x7f", "\x1b[2J",
	"#", "#a", "a#b", "a #b", "\\", "a\\", "\\\\", `\n`, `\"`, `\$host`, "é", "日本", "\u202eabc", "\u200b", "\ufeff", "\U0001f600", "\u2028", "\u0085",
	"~", "~*", "~.*", "*", "*.", "*.*", ".*", "^", "@", "@old", "@old.shop", "=", "= /", "^~ /", "default", "include", "hostnames", "volatile", "proxy",
	"include /etc/passwd", "_", "-", "-x", "--", ".", "..", "../..", "a/../b", "/", "//", "/..", "/.", "/a/../b", "/a//b", "/%00", "%00", "%2e%2e", "%", "/x#y", "/$x", "/{", "/~x", "/@digest@",
	"/*", "/'", "/(", "/a b", "/a;b", "on", "off", "null", "~/x", "true", "1", "0", "-1", "1e9", "0x10", "NaN", ".inf", "2024-01-01", "!!binary eA==", "&a", "*a", "<<",
	"unix:/tmp/x", "unix:/run/migration-proxy/admin.sock", "http://", "http://x", "https://x", "ftp://x", "http://x/y", "http://u@x", "localhost:80", "x:0", "x:65536", "[::1]:80", "[::]:80", "127.0.0.1:80", "[fe80::1%eth0]:80",
	"0.0.0.0/0", "::/0", "10.0.0.1/8", "10.0.0.0/33", "::ffff:10.0.0.0/104", "1.2.3.4", "header:", "header:$x", "cookie:a;b", "cookie:a$b", "cookie:!#%&'*+-.^_`|~", "cookie:__Host-id", "ip", "header:X_Y-Z",
	"(", ")", "[", "]", "a{1,2}", "a{1000}", `(\W{10}){100}`, "(a*)*b", "(?i)ß", `[^\n]`, `\d+`, "|", "()", "^$", "[[:alpha:]]", `[\]};]`, `\x24\x7b`, "(?P<mp_token>x)", "(?<mp_token>x)",
	"xn--bcher-kva", "A.EXAMPLE", "a..b", "a.", ".a", "a-", "safe", "once", "new", "old", "→digest←", "@digest@",
	strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("-", 512), "/" + strings.Repeat("a", 253), "/" + strings.Repeat("a", 254), strings.Repeat("a.", 126) + "a", strings.Repeat("x", 10000),
	"\xff", "a\xffb", "\xc0\xaf", "\xed\xa0\x80",
}

// harmless has a value for each shape that a field can give the text. A field that
// is not listed has one shape, that of the document.
var harmless = map[string][]string{
	"name":             {"other"},
	"old_backend":      {"https://other.example.net", "http://other", "https://other", "http://127.0.0.1"},
	"new_backend":      {"https://other.example.net"},
	"path_prefix":      {"/", "/other"},
	"ca_file":          {""},
	"hash_key":         {"header:X-Other", "cookie:other", "ip"},
	"timeout":          {"30s"},
	"default_timeout":  {"30s"},
	"max_body_size":    {"0"},
	"ttl":              {"1h"},
	"old_host":         {"other.example.com", "other", "other.example"},
	"new_host":         {"other.example.com", "other", "other.example", "a.other.example.com", "a.b.other.example.com", "a.b.c.other.example.net"},
	"client_cert_file": {"/etc/migration-proxy/other.pem"},
	"cidr":             {"0.0.0.0/0", "1.2.3.4"},
}

// TestHostileStrings puts every hostile string into every place of a full
// document, keys too, one at a time. Either config refuses it and names the place,
// or the text has the same directives and blocks as with a harmless value, and
// nginx accepts it.
func TestHostileStrings(t *testing.T) {
	t.Parallel()
	document, machine := loadDocument(t), newMachine(t)
	var accepted []migration.Service
	for _, place := range document.places() {
		for _, table := range document.attack(t, place) {
			accepted = append(accepted, unique(place, table.Services()[0], len(accepted)))
		}
	}
	require.Greater(t, len(accepted), 300, "too few values were accepted for nginx -t")
	for i := range accepted {
		machine.provide(t, &accepted[i].TLS)
	}
	table := merge(t, accepted)
	generated, err := nginxgen.Generate(table, testEndpoints(table), standardParams(nginxVersion(t)))
	require.NoError(t, err)
	machine.requireAccepted(t, generated.Text)
}

// attack gives the tables of the hostile values that config accepts in a place.
func (d *document) attack(t *testing.T, p place) []*migration.Table {
	shapes := []string{}
	for _, value := range append(harmless[p.name], p.original()) {
		if table, err := config.Load("harmless.json", d.with(t, p, value)); err == nil {
			shapes = append(shapes, shape(t, table))
		}
	}
	values := hostile
	if p.isKey { // one check refuses all unknown keys, so a few suffice
		values = []string{"", "a b", "<<", "$host", "a;b", "\x00", "\n", "\xff", "include", strings.Repeat("x", 10000)}
	}
	var accepted []*migration.Table
	for _, value := range values {
		table, err := config.Load("hostile.json", d.with(t, p, value))
		if err != nil {
			require.Regexp(t, `^hostile\.json:\d+:\d+: `, err.Error())
			continue
		}
		require.False(t, p.isKey, "key %q became %q and was accepted", p.name, value)
		require.Contains(t, shapes, shape(t, table), "%s: %q changes the shape", p.name, value)
		accepted = append(accepted, table)
	}
	return accepted
}

// document is the tree of a JSON text, which is also YAML.
type document struct{ root any }

func loadDocument(t *testing.T) *document {
	text, err := os.ReadFile("testdata/hostile.json")
	require.NoError(t, err)
	d := &document{}
	require.NoError(t, json.Unmarshal(text, &d.root))
	_, err = config.Load("hostile.json", text)
	require.NoError(t, err)
	return d
}

// place is a value or a key in the document. set changes it and gives a function
// that undoes the change.
type place struct {
	name  string
	isKey bool
	value any
	set   func(text string) (undo func())
}

func (p place) original() string { return fmt.Sprint(p.value) }

func (d *document) places() []place { return walk("", d.root, nil) }

func walk(name string, value any, set func(any)) []place {
	var all []place
	switch value := value.(type) {
	case map[string]any:
		for key, below := range value {
			all = append(all, place{name: key, isKey: true, value: key, set: renamer(value, key)})
			all = append(all, walk(key, below, func(other any) { value[key] = other })...)
		}
	case []any:
		for i, below := range value {
			all = append(all, walk(name, below, func(other any) { value[i] = other })...)
		}
	default:
		all = append(all, place{name: name, value: value, set: func(text string) func() {
			set(text)
			return func() { set(value) }
		}})
	}
	return all
}

func renamer(mapping map[string]any, key string) func(string) func() {
	return func(text string) func() {
		below := mapping[key]
		delete(mapping, key)
		mapping[text] = below
		return func() {
			delete(mapping, text)
			mapping[key] = below
		}
	}
}

// with gives the document's text with one place changed. Go's encoder does not
// write bytes that are not UTF-8, so it writes a mark, which is replaced.
func (d *document) with(t *testing.T, p place, value string) []byte {
	const mark = "-the-hostile-value-"
	undo := p.set(mark)
	defer undo()
	text, err := json.MarshalIndent(d.root, "", " ")
	require.NoError(t, err)
	return bytes.Replace(text, []byte(`"`+mark+`"`), quoted(t, value), 1)
}

func quoted(t *testing.T, value string) []byte {
	if strings.ToValidUTF8(value, "") != value {
		return []byte(`"` + value + `"`)
	}
	text, err := json.Marshal(value)
	require.NoError(t, err)
	return text
}

// shape gives the directives and blocks of the text without their arguments. The
// entries of a table are only counted, as their first word is data.
func shape(t *testing.T, table *migration.Table) string {
	generated, err := nginxgen.Generate(table, testEndpoints(table), standardParams(debian))
	require.NoError(t, err)
	payload, err := crossplane.Parse("nginx.conf", &crossplane.ParseOptions{
		SingleFile: true, ParseComments: true, StopParsingOnError: true,
		SkipDirectiveContextCheck: true, SkipDirectiveArgsCheck: true,
		Open: func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(generated.Text)), nil },
	})
	require.NoError(t, err)
	var out strings.Builder
	writeShape(&out, payload.Config[0].Parsed)
	return out.String()
}

func writeShape(out *strings.Builder, all crossplane.Directives) {
	for _, d := range all {
		fmt.Fprintf(out, "%s/%d", d.Directive, len(d.Args))
		switch {
		case slices.Contains([]string{"map", "geo", "split_clients"}, d.Directive):
			fmt.Fprintf(out, "[%d]", len(d.Block))
		case d.IsBlock():
			out.WriteString("{")
			writeShape(out, d.Block)
			out.WriteString("}")
		}
		out.WriteString("\n")
	}
}

// unique gives a service a unique name and host, so that one config can hold all
// services. A name or host that is the hostile value stays.
func unique(p place, s migration.Service, n int) migration.Service {
	if p.name != "name" {
		s.Name = migration.Name(fmt.Sprintf("s%d", n))
	}
	if p.name != "old_host" {
		s.OldHost = migration.Host(fmt.Sprintf("h%d.example.com", n))
	}
	return s
}

// merge makes one table. It drops services whose names or hosts are equal after
// normalization, as A.b and a.b.
func merge(t *testing.T, services []migration.Service) *migration.Table {
	names, hosts := map[migration.Name]bool{}, map[migration.Host]bool{}
	services = slices.DeleteFunc(services, func(s migration.Service) bool {
		twice := names[s.Name] || hosts[s.OldHost]
		names[s.Name], hosts[s.OldHost] = true, true
		return twice
	})
	table, err := migration.NewTable(migration.Global{DebugHeaders: true}, services)
	require.NoError(t, err)
	return table
}

// provide writes the certificates that a service names, below the directory of
// the machine.
func (m machine) provide(t *testing.T, files *migration.TLS) {
	for from, to := range map[string]*string{m.ca: &files.CAFile, m.cert: &files.ClientCertFile, m.key: &files.ClientKeyFile} {
		if strings.HasPrefix(*to, "/etc/migration-proxy/") {
			continue // requireAccepted replaces these paths
		}
		path := filepath.Join(m.dir, "files", filepath.Base(from)) + *to
		content, err := os.ReadFile(from)
		require.NoError(t, err)
		*to = from
		if os.MkdirAll(filepath.Dir(path), 0o755) == nil && os.WriteFile(path, content, 0o600) == nil {
			*to = path // this fails for a path that is a directory, as "/.."
		}
	}
}
