package migration

import (
	"regexp"
	"slices"
	"strings"
)

// volatileHeaders are headers that change while their user stays the same: with a new
// token, or with each request. Names in the form of HeaderName.Key.
var volatileHeaders = []string{
	"authorization", "proxy_authorization", "cookie", "x_auth_token", "x_access_token",
	"x_csrf_token", "x_xsrf_token", "x_request_id", "x_correlation_id", "traceparent", "x_b3_traceid",
}

// volatileCookie matches the names that frameworks give to the cookies which they set
// and renew themselves, in lower case: session, sessionid, JSESSIONID, PHPSESSID,
// connect.sid, laravel_session, ASP.NET_SessionId, _shop_session, koa.sess,
// XSRF-TOKEN, access_token.
var volatileCookie = regexp.MustCompile(`session|sessid|(^|[._-])sess$|(^|[._-])sid$|csrf|xsrf|(access|refresh|id|auth)[._-]?token|jwt`)

// Volatile tells whether the name of a header or cookie says that its value changes
// while its user stays the same, at a login above all. A hash of it moves users
// between the sides.
func (k HashKey) Volatile() bool {
	switch k.Source {
	case KeyHeader:
		return slices.Contains(volatileHeaders, headerKey(k.Name))
	case KeyCookie:
		return volatileCookie.MatchString(strings.ToLower(k.Name))
	}
	return false
}
