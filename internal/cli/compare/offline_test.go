package compare_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/config"
	clicompare "github.com/migration-proxy/migration-proxy/internal/cli/compare"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
)

const (
	oldHost = "shop.example.com"
	newHost = "shop.new.example.com"
	paths   = "/\n/a/12\n/Catalog/X\n/x//y\n/private\n/api?id=1\n/long?q=" + "0123456789012345678901234567890123456789" + "\n# a comment\n\nHEAD /a/12\n"
)

// site is an application that new may have in another way, a field each.
type site struct {
	self string // the name it believes to have
	slash, caseful, loop, host, cors, slashes, noAuth, limit, plain, cookie, stale,
	fails, slow bool
}

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch {
	case s.host && r.Host == newHost:
		w.WriteHeader(http.StatusMisdirectedRequest)
	case s.loop:
		http.Redirect(w, r, "https://"+r.Host+r.RequestURI, http.StatusMovedPermanently)
	case s.slash && path == "/a/12":
		w.Header().Set("Location", "/a/12/")
		w.WriteHeader(http.StatusMovedPermanently)
	case s.caseful && path == "/Catalog/X", s.slashes && strings.Contains(r.RequestURI, "//"):
		w.WriteHeader(http.StatusNotFound)
	case s.limit && len(r.RequestURI) > 40:
		w.WriteHeader(http.StatusRequestURITooLong)
	case s.fails && path == "/a/12":
		w.WriteHeader(http.StatusServiceUnavailable)
	case s.slow && path == "/a/12":
		select {
		case <-r.Context().Done():
		case <-time.After(3 * time.Second):
		}
	case path == "/private" && !s.noAuth:
		w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
		w.WriteHeader(http.StatusUnauthorized)
	default:
		s.page(w, r)
	}
}

func (s site) page(w http.ResponseWriter, r *http.Request) {
	header, modified, cookie, text := w.Header(), "Wed, 03 Jan 2024 00:00:00 GMT", "session=%d; Path=/; HttpOnly; SameSite=Lax", "version 2"
	if s.cors {
		header.Add("Access-Control-Allow-Origin", "*")
	}
	if s.stale {
		modified, text = "Mon, 01 Jan 2024 00:00:00 GMT", "version 1"
	}
	if s.cookie {
		cookie = "session=%d; Path=/; HttpOnly; SameSite=None"
	}
	header.Add("Access-Control-Allow-Origin", "*")
	header.Set("Last-Modified", modified)
	header.Set("Cache-Control", "max-age=60")
	header.Add("Set-Cookie", fmt.Sprintf(cookie, rand.Int()))
	body := fmt.Sprintf(`<html><a href="https://%s/x">x</a><p>%s</p><input value="%d"></html>`, s.self, text, rand.Int())
	header.Set("Content-Type", "text/html")
	if r.URL.Path == "/api" {
		header.Set("Content-Type", "application/json")
		body = fmt.Sprintf(`{"text":%q,"nonce":%d,"items":[{"id":1},{"id":2}]}`, text, rand.Int())
	}
	if s.plain {
		_, _ = io.WriteString(w, body)
		return
	}
	header.Set("Content-Encoding", "gzip")
	header.Set("Vary", "Accept-Encoding")
	zip := gzip.NewWriter(w)
	_, _ = io.WriteString(zip, body)
	_ = zip.Close()
}

func serve(t *testing.T, handler http.Handler) string {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// offline compares old with new.
func offline(t *testing.T, old, new, more string) clicompare.Offline {
	text := fmt.Sprintf(`services:
  - {name: shop, old_host: %s, old_backend: %q, new_host: %s, new_backend: %q, timeout: 700ms, connect_timeout: 300ms%s}
  - {name: other, old_host: other.example.com, old_backend: %[2]q, new_host: other.new.example.com, new_backend: %[2]q}
`, oldHost, old, newHost, new, more)
	table, err := config.Load("migration.yaml", []byte(text))
	require.NoError(t, err)
	return clicompare.Offline{Table: table, Service: "shop", Paths: strings.NewReader(paths), Nginx: testbed.Nginx(), Scheme: "https", Rate: 1000}
}

func causes(report compare.Report) []compare.Cause {
	var found []compare.Cause
	for _, f := range report.Findings {
		found = append(found, f.Cause)
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// TestPairs: each pair of backends differs in one way, and the comparison names that way
// and nothing else.
func TestPairs(t *testing.T) {
	t.Parallel()
	for cause, new := range map[compare.Cause]site{
		compare.TrailingSlash: {slash: true},
		compare.PathCase:      {caseful: true},
		compare.SchemeLoop:    {loop: true},
		compare.HostRefused:   {host: true},
		compare.DoubleCORS:    {cors: true},
		compare.Normalization: {slashes: true},
		compare.MissingAuth:   {noAuth: true},
		compare.RequestLimit:  {limit: true},
		compare.Compression:   {plain: true},
		compare.CookieAttr:    {cookie: true},
		compare.AbsoluteLinks: {self: newHost},
		compare.StaleContent:  {stale: true},
		compare.ServerError:   {fails: true},
		compare.TimedOut:      {slow: true},
	} {
		t.Run(string(cause), func(t *testing.T) {
			t.Parallel()
			if cause == compare.DoubleCORS && firstLineOnly(t) {
				t.Skip("this nginx gives clients only the first line, so they have no double header")
			}
			if new.self == "" {
				new.self = oldHost
			}
			o := offline(t, serve(t, site{self: oldHost}), serve(t, new), "")
			result, err := o.Compare(t.Context())
			require.NoError(t, err)
			require.Equal(t, []compare.Cause{cause}, causes(result.Report), "%+v", result.Findings)
			require.Less(t, *result.Same, 100.0)
			require.Error(t, result.CheckMatch(100))
		})
	}
}

// firstLineOnly tells whether nginx has only the first of several lines of a header.
func firstLineOnly(t *testing.T) bool {
	binary, err := nginx.Find(t.Context(), testbed.Nginx(), "")
	require.NoError(t, err)
	return binary.Version.Before(nginxgen.Version{Major: 1, Minor: 23})
}

// TestTLSName: new has a certificate for another name, and old is asked all the same.
func TestTLSName(t *testing.T) {
	t.Parallel()
	authority, err := testbed.NewAuthority()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(file, authority.PEM(), 0o644))
	start := func(name string) string {
		certificate, err := authority.Server(name)
		require.NoError(t, err)
		server := httptest.NewUnstartedServer(site{self: oldHost})
		server.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}}
		server.StartTLS()
		t.Cleanup(server.Close)
		return server.URL
	}
	old := serve(t, site{self: oldHost})
	wrong := offline(t, old, start("elsewhere.example.com"), fmt.Sprintf(", tls: {ca_file: %q}", file))
	result, err := wrong.Compare(t.Context())
	require.NoError(t, err)
	require.Equal(t, []compare.Cause{compare.TLSName}, causes(result.Report), "%+v", result.Findings)
	require.Contains(t, result.Findings[0].Text, "does not match")

	// The same new under the name that clients use.
	asOld := offline(t, old, start(oldHost), fmt.Sprintf(", tls: {ca_file: %q}", file))
	asOld.AsOldHost = true
	result, err = asOld.Compare(t.Context())
	require.NoError(t, err)
	require.Empty(t, result.Findings)
}

// members is an application that knows one account, and shows it a page of its own. It
// records the credentials that it gets.
type members struct {
	site
	page func(http.ResponseWriter)
	got  chan [2]string
}

func (m members) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.got <- [2]string{r.Header.Get("Cookie"), r.Header.Get("Authorization")}
	if r.URL.Path == "/private" && r.Header.Get("Cookie") == "session=secret" {
		m.page(w)
		return
	}
	m.site.ServeHTTP(w, r)
}

// TestIdentity: no credentials leave unless the user names them; then both sides get them,
// and a difference that only a signed-in user sees is found.
func TestIdentity(t *testing.T) {
	t.Parallel()
	compareAs := func(arguments ...string) (clicompare.Result, map[[2]string]bool) {
		got := make(chan [2]string, 1000)
		sides := []members{{site: site{self: oldHost}, got: got}, {site: site{self: oldHost}, got: got}}
		sides[0].page = func(w http.ResponseWriter) { w.Header().Set("Cache-Control", "no-store") }
		sides[1].page = func(http.ResponseWriter) {}
		o := offline(t, serve(t, sides[0]), serve(t, sides[1]), "")
		var err error
		o.Headers, err = clicompare.ParseHeaders(arguments)
		require.NoError(t, err)
		result, err := o.Compare(t.Context())
		require.NoError(t, err)
		close(got)
		credentials := map[[2]string]bool{}
		for one := range got {
			credentials[one] = true
		}
		return result, credentials
	}
	result, credentials := compareAs()
	require.Equal(t, map[[2]string]bool{{"", ""}: true}, credentials)
	require.Empty(t, result.Findings)

	file := filepath.Join(t.TempDir(), "session.txt")
	require.NoError(t, os.WriteFile(file, []byte("# of the account for tests\nCookie: session=secret\n"), 0o600))
	result, credentials = compareAs("@"+file, "Authorization: Bearer hidden")
	require.Equal(t, map[[2]string]bool{{"session=secret", "Bearer hidden"}: true}, credentials)
	require.Len(t, result.Findings, 1)
	require.Equal(t, "Cache-Control missing on new", result.Findings[0].Text)
	document, err := json.Marshal(result)
	require.NoError(t, err)
	require.Contains(t, string(document), "asked with your header Cookie")
	require.NotContains(t, string(document), "secret")
	require.NotContains(t, string(document), "hidden")
}

func TestNewIsAway(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	away := "http://" + listener.Addr().String()
	require.NoError(t, listener.Close())
	o := offline(t, serve(t, site{self: oldHost}), away, "")
	result, err := o.Compare(t.Context())
	require.NoError(t, err)
	require.Equal(t, []compare.Cause{compare.ServerError}, causes(result.Report))
	require.Contains(t, result.Findings[0].Text, "no answer (connect)")
}

// TestEqualNoisySides: no finding, and the report says how sure it is.
func TestEqualNoisySides(t *testing.T) {
	t.Parallel()
	o := offline(t, serve(t, site{self: oldHost}), serve(t, site{self: oldHost}), "")
	o.Variants = true
	var log strings.Builder
	for i := range 200 {
		method, host := "GET", oldHost
		if i%10 == 0 {
			method = "POST"
		}
		if i%10 == 1 {
			host = "other.example.com"
		}
		fmt.Fprintf(&log, `192.0.2.7 - - [01/Jan/2024:12:00:00 +0000] "%s /a/%d?secret=%d HTTP/1.1" 200 12 backend="old_backend" service="shop" host="%s" request_id="id-%d"`+"\n", method, i%50, i, host, i)
	}
	o.Paths, o.Log = nil, strings.NewReader(log.String()+"2024/01/01 an error line\n")
	result, err := o.Compare(t.Context())
	require.NoError(t, err)
	require.Empty(t, result.Findings, "%+v", result.Findings)
	require.Empty(t, result.Variants.Findings, "%+v", result.Variants.Findings)
	require.InDelta(t, 100, *result.Same, 0.001)
	require.Equal(t, uint64(180), result.Requests)
	require.Equal(t, uint64(20), result.Unasked["method POST"])
	require.Equal(t, 20, result.Foreign)
	require.Equal(t, 20, result.Samples, "so many of one route")
	require.InDelta(t, 100*160.0/180, result.Covered, 0.001)
	require.NoError(t, result.CheckMatch(100))

	var table, document bytes.Buffer
	require.NoError(t, result.Write(&table, clicompare.Table))
	require.Contains(t, table.String(), "shop: 1 routes, 20 samples, 88.9 % of the requests covered\nsame on 100.0 % (noise 0.0 %), new is ")
	require.Contains(t, table.String(), "note: not asked: 20 method POST")
	require.NoError(t, result.Write(&document, clicompare.JSON))
	require.NotContains(t, document.String(), "secret")
	require.NoError(t, json.Unmarshal(document.Bytes(), &clicompare.Result{}))
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*clicompare.Offline)
		want   string
	}{
		"unknown":  {func(o *clicompare.Offline) { o.Service = "x" }, `no service "x"`},
		"nothing":  {func(o *clicompare.Offline) { o.Paths = strings.NewReader("POST /a\n/logout\n") }, "1 method POST, 1 skipped"},
		"no path":  {func(o *clicompare.Offline) { o.Paths = strings.NewReader("/\nhttp://a/b\n") }, "line 2"},
		"no nginx": {func(o *clicompare.Offline) { o.Nginx = "/does/not/exist" }, "/does/not/exist"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := offline(t, "http://127.0.0.1:1", "http://127.0.0.1:1", "")
			c.change(&o)
			_, err := o.Compare(t.Context())
			require.ErrorContains(t, err, c.want)
		})
	}
}
