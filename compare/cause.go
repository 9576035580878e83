package compare

// Cause names why new answers otherwise than old.
type Cause string

// The causes. Those from Status on are the ones of a difference that none of the others
// explains.
const (
	TrailingSlash Cause = "trailing_slash"
	PathCase      Cause = "path_case"
	SchemeLoop    Cause = "scheme_loop"
	HostRefused   Cause = "host_refused"
	TLSName       Cause = "tls_name"
	DoubleCORS    Cause = "double_cors"
	Normalization Cause = "url_normalization"
	MissingAuth   Cause = "missing_auth"
	RequestLimit  Cause = "request_limit"
	Compression   Cause = "compression_lost"
	CookieAttr    Cause = "cookie_attributes"
	AbsoluteLinks Cause = "absolute_links"
	StaleContent  Cause = "stale_content"
	ServerError   Cause = "server_error"
	TimedOut      Cause = "timeout"
	NotFound      Cause = "not_found"

	Status   Cause = "status"
	Redirect Cause = "redirect"
	Headers  Cause = "header"
	Cookies  Cause = "cookie"
	Content  Cause = "content"
)

// advice is a way out for people, one sentence for each cause.
var advice = map[Cause]string{
	TrailingSlash: "the path is matched as a prefix of whole segments on one side only, or a server adds the slash: add a path without it on new",
	PathCase:      "old's path is a regular expression without case: add the spelling to new's paths",
	SchemeLoop:    "new redirects to the address that was asked for: it must trust X-Forwarded-Proto from the proxy",
	HostRefused:   "new does not serve new_host: add it to new's Ingress, and to the application's list of allowed hosts",
	TLSName:       "new's certificate is not accepted: see tls.server_name and tls.ca_file",
	DoubleCORS:    "two hops on new set Access-Control-Allow-Origin, and browsers refuse both: switch one off",
	Normalization: "the sides treat //, %2F or dots in paths in different ways: see merge_slashes and the like",
	MissingAuth:   "old asks who the client is and new does not: the authentication in front of old is missing on new",
	RequestLimit:  "new allows less than old: raise its limits for bodies, lines and headers",
	Compression:   "old compresses and new does not: switch it on, or set gzip: true on the service",
	CookieAttr:    "the attributes of the cookie decide who gets it back: set them as on old",
	AbsoluteLinks: "new writes new_host in its pages, which no proxy can translate: configure the application's own address",
	StaleContent:  "new's data is older than old's: it is not synchronized",
	ServerError:   "new fails where old does not: see new's log",
	TimedOut:      "new does not answer in time",
	NotFound:      "new does not have the path: old's path may be a prefix or a regular expression",
}

// Advice is a way out for people; "" if none is known.
func (c Cause) Advice() string { return advice[c] }
