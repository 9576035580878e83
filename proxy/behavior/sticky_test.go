package behavior

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// stickyService is the YAML of a service whose users a sticky cookie binds.
func stickyService(percentage int, more string) string {
	return fmt.Sprintf("    migration: {enabled: true, strategy: user_hash, percentage: %d, hash_key: sticky%s}\n", percentage, more)
}

// startNamed starts two backends that answer 200 with the name of their side in header
// Side, whatever they are asked.
func startNamed(t *testing.T) (old, new string) {
	return "http://" + startMinimal(t, "old").String(), "http://" + startMinimal(t, "new").String()
}

// visit sends one request, with the cookie unless it is "", and gives the side and the
// Set-Cookie of the answer.
func (r *rig) visit(t *testing.T, host, cookie, more string) (side string, set []string) {
	if cookie != "" {
		more += "Cookie: " + cookie + "\r\n"
	}
	answer, err := sendOnce(r.params.Listen.String(), "GET / HTTP/1.1\r\nHost: "+host+"\r\n"+more+"\r\n")
	require.NoError(t, err)
	return answer.value("Side"), answer.values("Set-Cookie")
}

// onlyPair is the NAME=VALUE of the only Set-Cookie.
func onlyPair(t *testing.T, set []string) string {
	require.Len(t, set, 1)
	value, _, _ := strings.Cut(set[0], ";")
	return value
}

// TestStickyCookieBindsBothSides: the first answer sets the cookie on old as on new, it
// is the bucket that decided this very request, and its user stays; raising the share
// moves nobody to old, and lowering it nobody to new.
func TestStickyCookieBindsBothSides(t *testing.T) {
	t.Parallel()
	const users = 200
	old, new := startNamed(t)
	r := startRig(t, loadTable(t, "services:"+serviceText("shop", old, new, stickyService(20, ""))), nil)
	cookies, sides := map[string]string{}, map[string]int{}
	for range users {
		side, set := r.visit(t, "shop.example.com", "", "")
		require.Regexp(t, `^migration-proxy=[0-9]{4}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax$`, set[0])
		cookie := onlyPair(t, set)
		bucket, err := strconv.Atoi(strings.TrimPrefix(cookie, "migration-proxy="))
		require.NoError(t, err)
		require.Equal(t, bucket < 2000, side == "new", "%s went to %s", cookie, side)
		cookies[cookie] = side
		sides[side]++
	}
	require.Greater(t, sides["new"], users/20)
	require.Greater(t, sides["old"], users/2)
	before := migration.Share(2000)
	for _, share := range []migration.Share{2000, 6000, 500} {
		r.setShare(t, "shop", share)
		for cookie, was := range cookies {
			side, set := r.visit(t, "shop.example.com", cookie, "")
			require.Empty(t, set, "the client has the cookie")
			if side != was {
				require.Equal(t, share > before, side == "new", "%s moved to %s", cookie, side)
			}
			cookies[cookie] = side
		}
		before = share
	}
}

// TestStickyCookieIsSetOnlyWhereItDecides: not where all or nothing goes to new, not
// where a rule or the always-new listener decided.
func TestStickyCookieIsSetOnlyWhereItDecides(t *testing.T) {
	t.Parallel()
	old, new := startNamed(t)
	r := startRig(t, loadTable(t, "services:"+serviceText("shop", old, new, stickyService(20, "")+
		"    canary: {header_rules: [{header: X-Side, value: new, target: new_cluster}, {header: X-Side, value: old, target: old_cluster}]}\n")), nil)
	for _, side := range []string{"new", "old"} {
		got, set := r.visit(t, "shop.example.com", "", "X-Side: "+side+"\r\n")
		require.Equal(t, side, got)
		require.Empty(t, set)
	}
	answer, err := sendOnce(r.params.ListenNew.String(), "GET / HTTP/1.1\r\nHost: shop.example.com\r\n\r\n")
	require.NoError(t, err)
	require.Equal(t, "new", answer.value("Side"))
	require.Empty(t, answer.values("Set-Cookie"))
	for name, c := range map[string]struct {
		state weights.State
		sets  bool
	}{
		"0 %":      {weights.State{Enabled: true}, false},
		"0.01 %":   {weights.State{Enabled: true, Share: 1}, true},
		"99.99 %":  {weights.State{Enabled: true, Share: 9999}, true},
		"100 %":    {weights.State{Enabled: true, Share: 10000}, false},
		"disabled": {weights.State{Share: 5000}, false},
		"tripped":  {weights.State{Enabled: true, Share: 5000, Tripped: true}, false},
	} {
		require.NoError(t, r.store.Apply("shop", c.state))
		_, set := r.visit(t, "shop.example.com", "", "")
		require.Equal(t, c.sets, len(set) == 1, name)
	}
}

// TestStickyCookieOfStrangers: only four digits are believed, and a client that came by
// https gets a cookie that only https carries.
func TestStickyCookieOfStrangers(t *testing.T) {
	t.Parallel()
	old, new := startNamed(t)
	r := startRig(t, loadTable(t, "services:"+serviceText("shop", old, new, stickyService(50, ""))), nil)
	for _, cookie := range []string{"migration-proxy=", "migration-proxy=000", "migration-proxy=00000", "migration-proxy=-001",
		"migration-proxy=\"0000\"", "xmigration-proxy=0000", "migration-proxy=0000x", "a=migration-proxy=0000"} {
		_, set := r.visit(t, "shop.example.com", cookie, "")
		require.NotEmpty(t, set, cookie)
	}
	for cookie, want := range map[string]string{
		"migration-proxy=0000": "new", "migration-proxy=4999": "new", "migration-proxy=5000": "old", "migration-proxy=9999": "old",
		"a=b; migration-proxy=0107; c=d": "new", "migration-proxy=12; migration-proxy=9010": "old",
	} {
		side, set := r.visit(t, "shop.example.com", cookie, "")
		require.Equal(t, want, side, cookie)
		require.Empty(t, set, cookie)
	}
	_, set := r.visit(t, "shop.example.com", "", "X-Forwarded-Proto: https\r\n")
	require.True(t, strings.HasSuffix(set[0], "; SameSite=Lax; Secure"), set)
}

// TestStickyServicesOfOneHostAgree: services of one host read the same cookie; one with
// another name of the cookie does not.
func TestStickyServicesOfOneHostAgree(t *testing.T) {
	t.Parallel()
	old, new := startNamed(t)
	path := func(name, path, key string) string {
		return strings.Replace(serviceText(name, old, new, "    path_prefix: "+path+"\n"+stickyService(50, key)), "old_host: "+name+".", "old_host: shop.", 1)
	}
	r := startRig(t, loadTable(t, "services:"+path("shop", "/", ", cohort: store")+path("api", "/api", ", cohort: store")+
		strings.Replace(path("own", "/own", ""), "hash_key: sticky", "hash_key: sticky:own", 1)), nil)
	for range 40 {
		side, set := r.visit(t, "shop.example.com", "", "")
		cookie := onlyPair(t, set)
		for target, sets := range map[string]int{"/api/x": 0, "/own": 1} {
			answer, err := sendOnce(r.params.Listen.String(), "POST "+target+" HTTP/1.1\r\nHost: shop.example.com\r\nContent-Length: 0\r\nCookie: "+cookie+"\r\n\r\n")
			require.NoError(t, err)
			require.Len(t, answer.values("Set-Cookie"), sets, target)
			if sets == 0 {
				require.Equal(t, side, answer.value("Side"))
			}
		}
	}
}

// TestStickyCookieBesideOthers: the backend's cookies stay, and answers with errors bind
// the user too.
func TestStickyCookieBesideOthers(t *testing.T) {
	t.Parallel()
	w := startWire(t)
	r := startRig(t, loadTable(t, "services:"+serviceText("shop", "http://"+w.address, "http://"+w.address, stickyService(50, ""))), nil)
	for _, status := range []string{"200 OK", "302 Found", "304 Not Modified", "401 Unauthorized", "404 Not Found", "500 Oops"} {
		w.answer(status, "HTTP/1.1 "+status+"\r\nSet-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")
		answer, err := sendOnce(r.params.Listen.String(), "GET / HTTP/1.1\r\nHost: shop.example.com\r\nX-Case: "+status+"\r\n\r\n")
		require.NoError(t, err)
		set := answer.values("Set-Cookie")
		require.Len(t, set, 3, status)
		require.Equal(t, []string{"a=1; Path=/", "b=2"}, set[:2], status)
		require.Contains(t, set[2], "migration-proxy=")
	}
}

// application is a site whose sessions live in its own memory: its first page begins a
// session, a login renews the id, as frameworks do, and /me needs a login.
type application struct {
	side     string
	mu       sync.Mutex
	loggedIn map[string]bool // by session id
	renewals int
}

func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	id := ""
	if cookie, err := r.Cookie("session"); err == nil {
		id = cookie.Value
	}
	in, known := a.loggedIn[id]
	switch {
	case r.URL.Path == "/login" && !known:
		w.WriteHeader(http.StatusForbidden)
	case r.URL.Path == "/login":
		delete(a.loggedIn, id)
		a.begin(w, true)
	case r.URL.Path == "/me" && !in:
		w.WriteHeader(http.StatusUnauthorized)
	case !known:
		a.begin(w, false)
	}
	_, _ = io.WriteString(w, a.side)
}

func (a *application) begin(w http.ResponseWriter, in bool) {
	a.renewals++
	id := fmt.Sprintf("%s-%d", a.side, a.renewals)
	a.loggedIn[id] = in
	http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Path: "/"})
}

// startApplication starts the backend of one side.
func startApplication(t *testing.T, side string) *testbed.Backend {
	backend := startBackend(t, testbed.Options{Name: side})
	backend.Answer(&application{side: side, loggedIn: map[string]bool{}})
	return backend
}

// browser is a client with a cookie jar that reaches every host through the proxy.
func (r *rig) browser(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	var dialer net.Dialer
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", r.params.Listen.String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport}
}

// failedLogins counts the visitors that cannot log in, or are logged out at once.
func failedLogins(t *testing.T, r *rig, visitors int) int {
	failed := 0
	for range visitors {
		browser, good := r.browser(t), true
		for _, step := range []string{"GET /", "POST /login", "GET /me", "GET /", "GET /me"} {
			method, path, _ := strings.Cut(step, " ")
			request, err := http.NewRequest(method, "http://shop.example.com"+path, nil)
			require.NoError(t, err)
			answer, err := browser.Do(request)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
			good = good && answer.StatusCode == http.StatusOK
		}
		if !good {
			failed++
		}
	}
	return failed
}

// TestLoginsWithSessionsOfEachSide: where the session cookie is the key, a login moves
// its user to the side that does not know the session; the sticky cookie keeps them.
func TestLoginsWithSessionsOfEachSide(t *testing.T) {
	t.Parallel()
	for key, fails := range map[string]bool{"cookie:session": true, "sticky": false} {
		old, new := startApplication(t, "old"), startApplication(t, "new")
		more := fmt.Sprintf("    migration: {enabled: true, strategy: user_hash, percentage: 50, hash_key: %q}\n", key)
		r := startRig(t, loadTable(t, "services:"+serviceText("shop", old.URL(), new.URL(), more)), nil)
		failed := failedLogins(t, r, 100)
		require.Equal(t, fails, failed > 0, "%s: %d of 100", key, failed)
	}
}

// TestRescuedAnswerKeepsTheSession: while new fails, old answers in its place and does
// not know the session; its cookie must not end the session on new. A POST that only
// old has seen sets what it sets.
func TestRescuedAnswerKeepsTheSession(t *testing.T) {
	t.Parallel()
	old, new := startWire(t), startWire(t)
	const anonymous = "HTTP/1.1 200 OK\r\nSet-Cookie: session=anonymous; Path=/\r\nSet-Cookie: a=b\r\nX-Old: 1\r\nContent-Length: 0\r\n\r\n"
	closed, err := testbed.FreePort()
	require.NoError(t, err)
	table := func(strategy string) *migration.Table {
		migrate := "    migration: {enabled: true, percentage: 100, strategy: " + strategy + "}\n"
		if strategy == "header" {
			migrate = "    migration: {enabled: true, strategy: header}\n    canary: {header_rules: [{header: X-Case, pattern: ., target: new_cluster}]}\n"
		}
		return loadTable(t, "services:"+serviceText("fails", "http://"+old.address, "http://"+new.address, migrate)+
			serviceText("refuses", "http://"+old.address, fmt.Sprintf("http://127.0.0.1:%d", closed), migrate)+
			serviceText("listed", "http://"+old.address, "http://"+new.address, migrate+"    fallback: {on_status: [500]}\n"))
	}
	for strategy, keeps := range map[string]bool{"user_hash": true, "header": true, "weight": false} {
		r := startRig(t, table(strategy), nil)
		for _, c := range []struct {
			host, method, status string
			dropped              bool
		}{
			{"fails", "GET", "503 No", keeps}, {"refuses", "GET", "", keeps}, {"listed", "DELETE", "500 No", keeps},
			{"refuses", "POST", "", false},
		} {
			id := strings.Join([]string{strategy, c.host, c.method}, "-")
			old.answer(id, anonymous)
			new.answer(id, "HTTP/1.1 "+c.status+"\r\nSet-Cookie: session=broken\r\nContent-Length: 0\r\n\r\n")
			answer, err := sendOnce(r.params.Listen.String(), c.method+" / HTTP/1.1\r\nHost: "+c.host+".example.com\r\nX-Case: "+id+"\r\nCookie: session=mine\r\nContent-Length: 0\r\n\r\n")
			require.NoError(t, err)
			require.Equal(t, "1", answer.value("X-Old"), id)
			want := []string{"session=anonymous; Path=/", "a=b"}
			if c.dropped {
				want = nil
			}
			require.Equal(t, want, answer.values("Set-Cookie"), id)
		}
	}
}
