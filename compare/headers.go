package compare

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// ignoredHeaders differ between two answers without a meaning: they name the moment, the
// connection, the request, or the program that answers. Sort order is that of the keys.
var ignoredHeaders = []string{
	"Accept-Ranges", "Age", "Alt-Svc", "Cf-Cache-Status", "Cf-Ray", "Connection", "Content-Length", "Date", "Etag", "Expires",
	"Keep-Alive", "Last-Modified", "Nel", "Report-To", "Server", "Server-Timing", "Set-Cookie", "Traceparent", "Tracestate",
	"Transfer-Encoding", "Via", "X-Cache", "X-Powered-By", "X-Request-Id", "X-Response-Time", "X-Runtime", "X-Served-By",
	"Content-Encoding", "Location", "X-Migration-Compare", "X-Migration-Side", "X-Migration-Reason", "X-Migration-Cache",
}

// valuedHeaders configure browsers and caches. Their values are compared, and are no
// secret of a user. Of all other headers only the absence on new counts.
var valuedHeaders = []string{
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
	"Access-Control-Expose-Headers", "Allow", "Cache-Control", "Content-Disposition", "Content-Language", "Content-Security-Policy",
	"Content-Type", "Referrer-Policy", "Strict-Transport-Security", "Vary", "Www-Authenticate", "X-Content-Type-Options", "X-Frame-Options",
}

// maxValue is how much of a value a text shows.
const maxValue = 60

// headers compares the headers that no named cause has explained.
func (j *judgement) headers() {
	names := map[string]bool{}
	for _, answer := range []*Answer{&j.Old, &j.New, &j.Again} {
		for name := range answer.Header {
			names[http.CanonicalHeaderKey(name)] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		switch {
		case slices.Contains(ignoredHeaders, name):
		case slices.Contains(valuedHeaders, name):
			value := func(a *Answer) string { return normalValue(name, a) }
			j.compare("header "+name, value, Headers, func() string { return valueText(name, j.New.Header, j.Old.Header) })
		default:
			j.presence(name)
		}
	}
}

// presence finds a header that old has and new has not. One that only new has is new's
// own matter.
func (j *judgement) presence(name string) {
	if j.Old.Header.Get(name) == "" && j.Again.Header.Get(name) == "" {
		return
	}
	has := func(a *Answer) string { return fmt.Sprint(len(a.Header.Values(name)) > 0) }
	j.compare("header "+name, has, Headers, func() string { return name + " missing on new" })
}

// normalValue is the value without differences that mean nothing: spaces and the order of
// lists, and small letters where case means nothing.
func normalValue(name string, a *Answer) string {
	values := strings.Split(strings.Join(a.Header.Values(name), ","), ",")
	for i, value := range values {
		values[i] = strings.Join(strings.Fields(strings.ToLower(value)), "")
	}
	slices.Sort(values)
	return strings.Join(slices.Compact(values), ",")
}

func valueText(name string, new, old http.Header) string {
	onNew, onOld := new.Get(name), old.Get(name)
	switch {
	case onNew == "":
		return name + " missing on new"
	case onOld == "":
		return fmt.Sprintf("%s: %s only on new", name, shortened(onNew))
	}
	return fmt.Sprintf("%s: %s on new, %s on old", name, shortened(onNew), shortened(onOld))
}

func shortened(text string) string {
	if runes := []rune(text); len(runes) > maxValue {
		return string(runes[:maxValue]) + "…"
	}
	return text
}

// redirect compares where a redirect leads, with new_host as one name of the service.
func (j *judgement) redirect() {
	if !isRedirect(j.New.Status) {
		return
	}
	where := func(a *Answer) string {
		to := target(j.Sample, a)
		if to == nil {
			return ""
		}
		if own(j.Sample, to.Host) {
			to.Host = j.Host
		}
		return to.Scheme + "://" + to.Host + to.RequestURI()
	}
	if to := target(j.Sample, &j.New); to != nil && j.leaks(to.Host) {
		if old := target(j.Sample, &j.Old); old != nil && !j.leaks(old.Host) {
			j.differs("header Location", AbsoluteLinks, fmt.Sprintf("%d to %s on new", j.New.Status, j.NewHost))
			return
		}
	}
	j.compare("header Location", where, Redirect, func() string {
		return fmt.Sprintf("%s on new, %s on old", brief(&j.New), brief(&j.Old))
	})
}

// leaks tells whether a host is new's name, and clients do not use that name.
func (j *judgement) leaks(host string) bool {
	return strings.EqualFold(host, j.NewHost) && !strings.EqualFold(j.NewHost, j.Host)
}

// doubleCORS finds an answer with more than one allowed origin.
func (j *judgement) doubleCORS() {
	const name = "Access-Control-Allow-Origin"
	origins := func(a *Answer) int {
		return len(strings.FieldsFunc(strings.Join(a.Header.Values(name), ","), func(c rune) bool { return c == ',' }))
	}
	if origins(&j.New) > 1 && origins(&j.Old) == 1 && origins(&j.Again) == 1 {
		j.explained["header "+name] = true
		j.differs("header "+name, DoubleCORS, fmt.Sprintf("%s is set %d times on new", name, origins(&j.New)))
	}
}

// compression finds an answer that only old compresses. That Vary does not name the
// encoding then is no difference of its own.
func (j *judgement) compression() {
	const field = "header Content-Encoding"
	encoding := func(a *Answer) string { return strings.ToLower(a.Header.Get("Content-Encoding")) }
	is := func(a *Answer) string { return fmt.Sprint(encoding(a) != "") }
	before := len(j.verdict.Differences)
	if encoding(&j.New) == "" {
		j.compare(field, is, Compression, func() string { return "not compressed on new, " + encoding(&j.Old) + " on old" })
	}
	if len(j.verdict.Differences) > before || encoding(&j.New) != encoding(&j.Old) {
		j.explained["header Vary"] = true
	}
}

// cookies compares the names and attributes of the cookies that are set, never the values.
func (j *judgement) cookies() {
	set := []map[string]string{cookiesOf(&j.Old), cookiesOf(&j.New), cookiesOf(&j.Again)}
	names := map[string]bool{}
	for _, cookies := range set {
		for name := range cookies {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		field := "cookie " + name
		switch odd(set[0][name], set[1][name], set[2][name]) {
		case noisy:
			j.noise(field)
		case newIsOdd:
			cause, text := cookieText(name, set[0][name], set[1][name])
			j.differs(field, cause, text)
		case allEqual:
		}
	}
}

func cookieText(name, old, new string) (Cause, string) {
	switch {
	case new == "":
		return Cookies, "cookie " + name + " is not set on new"
	case old == "":
		return Cookies, "cookie " + name + " is set only on new"
	}
	return CookieAttr, fmt.Sprintf("cookie %s: %s on new, %s on old", name, new, old)
}

// cookiesOf gives the attributes of each cookie; "none" if it has none.
func cookiesOf(a *Answer) map[string]string {
	all := map[string]string{}
	for _, c := range (&http.Response{Header: a.Header}).Cookies() {
		attributes := []string{}
		add := func(set bool, text string) {
			if set {
				attributes = append(attributes, text)
			}
		}
		add(c.Domain != "", "Domain="+strings.TrimPrefix(strings.ToLower(c.Domain), "."))
		add(c.Path != "", "Path="+c.Path)
		add(c.HttpOnly, "HttpOnly")
		add(c.Secure, "Secure")
		add(c.SameSite == http.SameSiteLaxMode, "SameSite=Lax")
		add(c.SameSite == http.SameSiteStrictMode, "SameSite=Strict")
		add(c.SameSite == http.SameSiteNoneMode, "SameSite=None")
		add(c.MaxAge != 0 || !c.Expires.IsZero(), "with an end")
		add(len(attributes) == 0, "no attributes")
		all[c.Name] = strings.Join(attributes, "; ")
	}
	return all
}
