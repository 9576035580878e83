package compare

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// statusCause recognizes one cause of a difference of the status: a text if it is this
// cause, and "" if not.
type statusCause struct {
	cause     Cause
	recognize func(*Sample) string
}

// statusCauses are asked in this order; the first that recognizes the sample gives the
// cause.
var statusCauses = []statusCause{
	{TLSName, tlsName},
	{TimedOut, timedOut},
	{ServerError, notReached},
	{SchemeLoop, schemeLoop},
	{HostRefused, hostRefused},
	{Normalization, normalization},
	{TrailingSlash, trailingSlash},
	{MissingAuth, missingAuth},
	{HostRefused, badRequest},
	{RequestLimit, requestLimit},
	{PathCase, pathCase},
	{NotFound, notFound},
	{ServerError, serverError},
}

func causeOfStatus(s *Sample) (Cause, string) {
	for _, known := range statusCauses {
		if text := known.recognize(s); text != "" {
			return known.cause, text
		}
	}
	return Status, fmt.Sprintf("%s on new, %s on old", brief(&s.New), brief(&s.Old))
}

// brief is "301 to /a/", "404" or "no answer (reset)".
func brief(a *Answer) string {
	if a.Failure != None {
		return fmt.Sprintf("no answer (%s)", a.Failure)
	}
	if location := a.Header.Get("Location"); location != "" && isRedirect(a.Status) {
		return fmt.Sprintf("%d to %s", a.Status, routeOf(location))
	}
	return fmt.Sprint(a.Status)
}

// routeOf is the address without its query, and with a template for the path.
func routeOf(location string) string {
	target, err := url.Parse(location)
	if err != nil {
		return "an address that is none"
	}
	where := Route(target.EscapedPath())
	if target.Host == "" {
		return where
	}
	return target.Scheme + "://" + target.Host + where
}

func isRedirect(status int) bool {
	return slices.Contains([]int{301, 302, 303, 307, 308}, status)
}

func tlsName(s *Sample) string {
	if s.New.Failure != TLS {
		return ""
	}
	if s.New.Detail != "" {
		return "no TLS to new: " + s.New.Detail
	}
	return "no TLS to new"
}

func timedOut(s *Sample) string {
	if s.New.Failure == Timeout || s.New.Status == http.StatusGatewayTimeout {
		return "no answer of new in time"
	}
	return ""
}

func notReached(s *Sample) string {
	if s.New.Failure == Connect || s.New.Failure == Reset {
		return fmt.Sprintf("new has given no answer (%s), %s on old", s.New.Failure, brief(&s.Old))
	}
	return ""
}

// target is where a redirect leads, as seen from the request; nil if the answer is none.
func target(s *Sample, a *Answer) *url.URL {
	if a.Failure != None || !isRedirect(a.Status) {
		return nil
	}
	asked := &url.URL{Scheme: "https", Host: s.Host}
	if parsed, err := asked.Parse(s.Target); err == nil {
		asked = parsed
	}
	to, err := asked.Parse(a.Header.Get("Location"))
	if err != nil || a.Header.Get("Location") == "" {
		return nil
	}
	return to
}

// own tells whether a host is the one that was asked, or new's.
func own(s *Sample, host string) bool {
	name, _, _ := strings.Cut(host, ":")
	return strings.EqualFold(name, s.Host) || strings.EqualFold(name, s.NewHost)
}

func schemeLoop(s *Sample) string {
	to := target(s, &s.New)
	if to == nil || !own(s, to.Host) || to.RequestURI() != s.Target {
		return ""
	}
	return fmt.Sprintf("%d to the same address on new", s.New.Status)
}

func trailingSlash(s *Sample) string {
	path := s.Path()
	other := path + "/"
	if strings.HasSuffix(path, "/") {
		other = strings.TrimSuffix(path, "/")
	}
	leads := func(a *Answer) bool {
		to := target(s, a)
		return to != nil && own(s, to.Host) && to.EscapedPath() == other
	}
	switch {
	case leads(&s.New):
		return fmt.Sprintf("%d to %s on new", s.New.Status, Route(other))
	case leads(&s.Old):
		return fmt.Sprintf("%s on new, %d to %s on old", brief(&s.New), s.Old.Status, Route(other))
	}
	return ""
}

// unusual are parts of paths that servers treat in different ways.
var unusual = []string{"//", "%2f", "%2F", "/./", "/../", "%2e", "%2E", "%5c", "%5C", ";"}

func normalization(s *Sample) string {
	path := s.Path()
	for _, part := range unusual {
		if strings.Contains(path, part) {
			return fmt.Sprintf("%s on new, %s on old, for a path with %s", brief(&s.New), brief(&s.Old), part)
		}
	}
	return ""
}

func missingAuth(s *Sample) string {
	asks := s.Old.Status == http.StatusUnauthorized || s.Old.Status == http.StatusForbidden
	if to := target(s, &s.Old); to != nil {
		path := strings.ToLower(to.Host + to.Path)
		asks = strings.Contains(path, "login") || strings.Contains(path, "signin") || strings.Contains(path, "oauth") || strings.Contains(path, "/auth")
	}
	if !asks || s.New.Status < 200 || s.New.Status > 299 {
		return ""
	}
	return fmt.Sprintf("%d on new without asking who the client is, %s on old", s.New.Status, brief(&s.Old))
}

func hostRefused(s *Sample) string {
	refused := s.New.Status == http.StatusMisdirectedRequest || s.New.Status == http.StatusNotFound && strings.Contains(string(s.New.Body), "default backend")
	if !refused {
		return ""
	}
	return fmt.Sprintf("%d on new under the name %s, %s on old", s.New.Status, s.NewHost, brief(&s.Old))
}

// badRequest is how some frameworks refuse a host.
func badRequest(s *Sample) string {
	if s.New.Status != http.StatusBadRequest || s.Old.Status >= 400 {
		return ""
	}
	return fmt.Sprintf("400 on new under the name %s, %s on old", s.NewHost, brief(&s.Old))
}

func requestLimit(s *Sample) string {
	if !slices.Contains([]int{413, 414, 431, 494}, s.New.Status) {
		return ""
	}
	return fmt.Sprintf("%d (%s) on new, %s on old", s.New.Status, http.StatusText(s.New.Status), brief(&s.Old))
}

func pathCase(s *Sample) string {
	if s.Lower == nil || s.Lower.Failure != None || s.Lower.Status != s.Old.Status {
		return ""
	}
	return fmt.Sprintf("%d on new unless the path is in lower case, %s on old", s.New.Status, brief(&s.Old))
}

func notFound(s *Sample) string {
	if s.New.Status != http.StatusNotFound && s.New.Status != http.StatusGone || s.Old.Status >= 400 {
		return ""
	}
	return fmt.Sprintf("%d on new, %s on old", s.New.Status, brief(&s.Old))
}

func serverError(s *Sample) string {
	if s.New.Status < 500 {
		return ""
	}
	return fmt.Sprintf("%d on new, %s on old", s.New.Status, brief(&s.Old))
}
