package compare

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answer is "STATUS|Name: value|Name: value|body".
func answer(text string) Answer {
	parts := strings.Split(text, "|")
	a := Answer{Header: http.Header{}}
	_, _ = fmt.Sscan(parts[0], &a.Status)
	for _, part := range parts[1:] {
		if name, value, found := strings.Cut(part, ": "); found && !strings.ContainsAny(name, "<{ ") {
			a.Header.Add(name, value)
		} else {
			a.Body = []byte(part)
		}
	}
	return a
}

func zipped(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return out.Bytes()
}

func sampleOf(target, old, new string) *Sample {
	return &Sample{
		Request: Request{Method: "GET", Host: "shop.example.com", Target: target, ID: "7f3a"},
		NewHost: "shop.new.example.com", Old: answer(old), New: answer(new), Again: answer(old),
	}
}

// TestCauses has a pair of answers for each cause: Judge names it and nothing else.
func TestCauses(t *testing.T) {
	t.Parallel()
	page := "200|Content-Type: text/html|<p>a</p><p>b</p>"
	for name, c := range map[string]struct {
		target, old, new string
		change           func(*Sample)
		cause            Cause
		text             string
	}{
		"slash":          {"/a/12", page, "301|Location: https://shop.example.com/a/12/", nil, TrailingSlash, "301 to /a/{n}/ on new"},
		"slash on old":   {"/a", "301|Location: /a/", page, nil, TrailingSlash, "200 on new, 301 to /a/ on old"},
		"case":           {"/a/Users", page, "404", func(s *Sample) { lower := answer(page); s.Lower = &lower }, PathCase, "404 on new unless the path is in lower case, 200 on old"},
		"loop":           {"/a?b", page, "301|Location: https://shop.new.example.com/a?b", nil, SchemeLoop, "301 to the same address on new"},
		"host":           {"/a", page, "421", nil, HostRefused, "421 on new under the name shop.new.example.com, 200 on old"},
		"default":        {"/a", page, "404|Content-Type: text/plain|default backend - 404", nil, HostRefused, "404 on new under the name shop.new.example.com, 200 on old"},
		"tls":            {"/a", page, "0", func(s *Sample) { s.New.Failure, s.New.Detail = TLS, "certificate has another name" }, TLSName, "no TLS to new: certificate has another name"},
		"cors":           {"/a", page + "|Access-Control-Allow-Origin: *", page + "|Access-Control-Allow-Origin: *|Access-Control-Allow-Origin: *", nil, DoubleCORS, "Access-Control-Allow-Origin is set 2 times on new"},
		"normalization":  {"/a//b", page, "404", nil, Normalization, "404 on new, 200 on old, for a path with //"},
		"auth":           {"/a", "401|Www-Authenticate: Basic", page, nil, MissingAuth, "200 on new without asking who the client is, 401 on old"},
		"login":          {"/a", "302|Location: https://sso.example.com/login?to=/a", page, nil, MissingAuth, "200 on new without asking who the client is, 302 to https://sso.example.com/login on old"},
		"limit":          {"/a", page, "414", nil, RequestLimit, "414 (Request URI Too Long) on new, 200 on old"},
		"cookie":         {"/a", page + "|Set-Cookie: s=1; Path=/; Secure", page + "|Set-Cookie: s=2; Path=/a; Secure", nil, CookieAttr, "cookie s: Path=/a; Secure on new, Path=/; Secure on old"},
		"links":          {"/a", page, strings.ReplaceAll(page, "<p>b</p>", "<p>b</p>"), func(s *Sample) { withLink(s) }, AbsoluteLinks, "links to shop.new.example.com in the page of new"},
		"stale":          {"/a", page + "|Last-Modified: Mon, 02 Jan 2023 00:00:00 GMT", "200|Content-Type: text/html|<p>a</p>|Last-Modified: Sun, 01 Jan 2023 00:00:00 GMT", nil, StaleContent, "other content on new, last modified 24h0m0s before old's"},
		"5xx":            {"/a", page, "503", nil, ServerError, "503 on new, 200 on old"},
		"timeout":        {"/a", page, "0", func(s *Sample) { s.New.Failure = Timeout }, TimedOut, "no answer of new in time"},
		"refused":        {"/a", page, "0", func(s *Sample) { s.New.Failure = Connect }, ServerError, "new has given no answer (connect), 200 on old"},
		"not found":      {"/a", page, "404", nil, NotFound, "404 on new, 200 on old"},
		"status":         {"/a", page, "204", nil, Status, "204 on new, 200 on old"},
		"redirect":       {"/a", "302|Location: /b?q=1", "302|Location: /c?q=1", nil, Redirect, "302 to /c on new, 302 to /b on old"},
		"header value":   {"/a", page + "|Cache-Control: max-age=60", page + "|Cache-Control: no-store", nil, Headers, "Cache-Control: no-store on new, max-age=60 on old"},
		"header missing": {"/a", page + "|X-Shop: 1", page, nil, Headers, "X-Shop missing on new"},
		"cookie missing": {"/a", page + "|Set-Cookie: s=1", page, nil, Cookies, "cookie s is not set on new"},
		"json type":      {"/a", `200|Content-Type: application/json|{"a":[{"b":1},{"b":2}]}`, `200|Content-Type: application/json|{"a":[{"b":"1"},{"b":"2"}]}`, nil, Content, "/a/[]/b: string on new, number on old"},
		"json missing":   {"/a", `200|Content-Type: application/json|{"a":{"b":1},"c":2}`, `200|Content-Type: application/json|{"c":2}`, nil, Content, "/a missing on new"},
		"json value":     {"/a", `200|Content-Type: application/json|{"a":1,"c":2}`, `200|Content-Type: application/json|{"c":2,"a":3}`, nil, Content, "/a: another value on new"},
		"lines":          {"/a", page, "200|Content-Type: text/html|<p>a</p>", nil, Content, "other lines on new (1)"},
		"bytes":          {"/a", "200|Content-Type: image/png|abc", "200|Content-Type: image/png|abd", nil, Content, "other content on new"},
		"compression":    {"/a", page + "|Vary: Accept-Encoding", page, compressOld, Compression, "not compressed on new, gzip on old"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sampleOf(c.target, c.old, c.new)
			if c.change != nil {
				c.change(s)
			}
			v := Judge(s)
			require.Empty(t, v.Noise)
			require.Len(t, v.Differences, 1, "%v", v)
			require.Equal(t, c.cause, v.Differences[0].Cause)
			require.Equal(t, c.text, v.Differences[0].Text)

			s.New = s.Old
			require.Equal(t, Verdict{}, Judge(s), "without the difference there is none")
		})
	}
}

func withLink(s *Sample) {
	page := `<a href="https://%s/b">b</a><p>1</p>`
	s.Old.Body = fmt.Appendf(nil, page, "shop.example.com")
	s.Again.Body, s.New.Body = s.Old.Body, fmt.Appendf(nil, page, "shop.new.example.com")
}

func compressOld(s *Sample) {
	for _, a := range []*Answer{&s.Old, &s.Again} {
		a.Header.Set("Content-Encoding", "gzip")
		a.Body = zipped(string(a.Body))
	}
}

func TestRoute(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/":              "/",
		"/api/v1/Users":  "/api/v1/Users",
		"/catalog/4711":  "/catalog/{n}",
		"/catalog/4711/": "/catalog/{n}/",
		"/orders/7f9c24e5-8a0b-4c3d-9e21-001122334455": "/orders/{uuid}",
		"/static/app.3f9c2b1a.js":                      "/static/app.{hash}.js",
		"/users/ann@example.com/orders":                "/users/{mail}/orders",
		"/u/bm90IGEgc2VjcmV0IDEyMw":                    "/u/{hash}",
		"/order-4711/item99":                           "/order-{n}/item99",
		"/order4711":                                   "/order{n}",
		"/2024/01/31/title-of-the-page":                "/{n}/{n}/{n}/title-of-the-page",
		"/a/b/c/d/e/f/g/h/i/j":                         "/a/b/c/d/e/f/g/h/…",
		"/" + strings.Repeat("long-", 20):              "/{text}",
	} {
		require.Equal(t, want, Route(path), path)
	}
}

func TestSkip(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"/logout", "/a/Logout?x", "/reset?token=1", "/mail/unsubscribe/7", "/own/path/x", "/exact"} {
		require.True(t, Skip(target, []string{"/own/*/x", "/exact"}), target)
	}
	for _, target := range []string{"/", "/login", "/own/path/y", "/exactly", "/shop/outlet"} {
		require.False(t, Skip(target, []string{"/own/*/x", "/exact"}), target)
	}
}

// noisyAnswer is an answer of a server with every kind of noise that we know.
func noisyAnswer(dice *rand.Rand, route int) Answer {
	a := Answer{Status: 200, Header: http.Header{}, Duration: time.Duration(dice.IntN(40)) * time.Millisecond}
	if dice.IntN(50) == 0 {
		return Answer{Status: 503, Header: http.Header{}, Duration: a.Duration}
	}
	if dice.IntN(60) == 0 {
		return Answer{Failure: Timeout}
	}
	set := a.Header.Set
	set("Date", fmt.Sprint(dice.Uint64()))
	set("X-Pod", fmt.Sprint(dice.IntN(2)))
	if dice.IntN(2) == 0 {
		set("X-Cache-Status", "HIT")
	}
	set("Cache-Control", []string{"max-age=60", "no-store"}[dice.IntN(2)])
	set("Set-Cookie", fmt.Sprintf("s=%d; Path=/", dice.Uint64()))
	switch route % 3 {
	case 0:
		set("Content-Type", "application/json")
		a.Body = fmt.Appendf(nil, `{"now":%d,"items":[{"id":1,"stock":%d},{"id":2}],"advert":{"id":%d}}`, dice.Uint64(), dice.IntN(3), dice.IntN(5))
	case 1:
		set("Content-Type", "text/html")
		a.Body = fmt.Appendf(nil, "<html><p>stable</p><input value=%d><p>%d visitors</p>%s</html>", dice.Uint64(), dice.IntN(4), strings.Repeat("<br>", dice.IntN(3)))
		if dice.IntN(3) == 0 {
			a.Body = append(a.Body, "<div>advert</div>"...)
		}
	default:
		set("Content-Type", "image/png")
		a.Body = fmt.Append(nil, dice.IntN(3))
	}
	return a
}

// look is what the agent does for one sample: three answers, and two more if they differ.
func look(tally *Tally, request Request, ask func(new bool) Answer) {
	s := &Sample{Request: request, NewHost: "shop.new.example.com", Old: ask(false), New: ask(true), Again: ask(false)}
	v := Judge(s)
	if len(v.Differences) > 0 {
		v = Confirm(v, Again(s, ask(true), ask(false)))
	}
	tally.Add(s, v, time.Time{})
}

// TestNoiseIsNoFinding: two equal servers with noise of every kind, 100 runs.
func TestNoiseIsNoFinding(t *testing.T) {
	t.Parallel()
	outside := 0
	for run := range 100 {
		dice := rand.New(rand.NewPCG(uint64(run), 1))
		tally := &Tally{}
		for i := range 100 {
			route := dice.IntN(1 + dice.IntN(12))
			request := Request{Method: "GET", Host: "shop.example.com", Target: fmt.Sprintf("/route%c/%d", 'a'+route, i)}
			look(tally, request, func(bool) Answer { return noisyAnswer(dice, route) })
		}
		report := tally.Report()
		require.Empty(t, report.Findings, "run %d", run)
		require.InDelta(t, 100, *report.Same, 0.001)
		require.Greater(t, report.Noise, 50.0)
		if report.Slower.Low > 0 || report.Slower.High < 0 {
			outside++
		}
	}
	require.LessOrEqual(t, outside, 14, "a 95 % interval is wrong five times in a hundred")
}

// TestDifferencesAreFoundInNoise: the same servers, and new differs in one way.
func TestDifferencesAreFoundInNoise(t *testing.T) {
	t.Parallel()
	tally := &Tally{}
	dice := rand.New(rand.NewPCG(7, 1))
	for i := range 300 {
		route := dice.IntN(6)
		request := Request{Method: "GET", Host: "shop.example.com", Target: fmt.Sprintf("/route%c/%d?secret=1", 'a'+route, i)}
		tally.Saw(RouteKey("GET", request.Path()))
		look(tally, request, func(new bool) Answer {
			a := noisyAnswer(dice, route)
			if new && route == 3 && a.Status == 200 {
				a = answer(fmt.Sprintf("301|Location: %s/", request.Path()))
			}
			a.Duration += map[bool]time.Duration{true: 30 * time.Millisecond}[new]
			return a
		})
	}
	report := tally.Report()
	require.Len(t, report.Findings, 1, "%v", report.Findings)
	require.Equal(t, TrailingSlash, report.Findings[0].Cause)
	require.Equal(t, "GET /routed/{n}", report.Findings[0].Route)
	require.InDelta(t, 100, *report.Same+report.Findings[0].Share, 1.5)
	require.InDelta(t, 100, report.Covered, 0.001)
	require.True(t, report.Slower.Low > 20 && report.Slower.High < 40, "%v", report.Slower)

	text, err := json.Marshal(tally)
	require.NoError(t, err)
	require.NotContains(t, string(text), "secret", "values of a query are not kept")
	var again Tally
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, report, again.Report())

	sum := &Tally{}
	sum.Merge(tally)
	sum.Merge(&again)
	require.Equal(t, 2*report.Samples, sum.Report().Samples)
	require.InDelta(t, *report.Same, *sum.Report().Same, 0.001)
}

// TestCoverage: routes without a sample and requests that cannot be one are not covered.
func TestCoverage(t *testing.T) {
	t.Parallel()
	tally := &Tally{}
	for range 60 {
		tally.Saw("GET /a")
	}
	for range 30 {
		tally.Saw("GET /b")
	}
	for range 10 {
		tally.Left("method POST")
	}
	look(tally, Request{Method: "GET", Target: "/a"}, func(new bool) Answer {
		return answer(map[bool]string{false: "200", true: "404"}[new])
	})
	report := tally.Report()
	require.InDelta(t, 60, report.Covered, 0.001)
	require.Zero(t, *report.Same)
	require.Equal(t, uint64(100), report.Requests)
	require.Nil(t, (&Tally{}).Report().Same, "nothing is known")
}

// TestBounds: a client that asks for a million paths fills no memory.
func TestBounds(t *testing.T) {
	t.Parallel()
	tally := &Tally{}
	for i := range 1500 {
		word := strings.Map(func(c rune) rune { return c - '0' + 'a' }, fmt.Sprint(i))
		look(tally, Request{Method: "GET", Target: "/" + word}, func(new bool) Answer {
			return answer(fmt.Sprintf("200|X-%s%d: %v", word, i, new))
		})
	}
	require.LessOrEqual(t, len(tally.Routes), maxRoutes+1)
	for _, r := range tally.Routes {
		require.LessOrEqual(t, len(r.Fields), maxFields)
		require.LessOrEqual(t, len(r.Together), maxPatterns)
	}
	require.LessOrEqual(t, len(tally.Times), maxTimes)
}
