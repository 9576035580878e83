package nginxgen

import (
	"slices"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// clientClosedRequest is the status that nginx logs when the client closed the
// connection. error_page refuses it, so a 499 that new sends reaches the client;
// the circuit breaker counts it as a failure nevertheless.
const clientClosedRequest = 499

// loopDetected is the status of a request that came back to the proxy, see loop.go. It
// leads to old, as new has not answered.
const loopDetected = 508

// bodyErrors are the statuses that nginx itself gives because of the request's
// body, before it asks new: malformed (400), too large (413), the disk is full (500).
var bodyErrors = []int{400, 413, 500}

// retryOnOld sends a request that failed at new to old. It is used only for
// methods that may be sent twice. nginx cannot distinguish its own 502 and 504
// from those of new, so both count as soon as on_status has any status. For
// bodyErrors nginx may not have asked new; then the body is incomplete, and the
// request must not go to old either.
func (d *draft) retryOnOld(s *migration.Service) directives {
	codes := slices.Concat([]int{502, 504, loopDetected}, s.Fallback.OnStatus)
	slices.Sort(codes)
	var args []string
	var lines directives
	target := retryTarget(s)
	for _, code := range slices.Compact(codes) {
		text := strconv.Itoa(code)
		switch {
		case slices.Contains(bodyErrors, code):
			after := d.intern("after", "map", "$upstream_status", directives{line("", "@own_"+text), line("default", target)})
			lines = append(lines, line("error_page", text, "=", after+"."+string(s.Name)))
		case code != clientClosedRequest:
			args = append(args, text)
		}
	}
	lines = append(lines, line("error_page", append(args, "=", target+"."+string(s.Name))...))
	if len(s.Fallback.OnStatus) > 0 {
		lines = append(lines, line("proxy_intercept_errors", "on"))
	}
	return lines
}

// retryTarget is where a request goes that failed at new. Unless each request throws its
// own dice, a user's session may be on new alone: the cookie that old sets when it does
// not know the session must not replace it, see rescueLocation.
func retryTarget(s *migration.Service) string {
	if s.Strategy == migration.StrategyWeight {
		return "@old"
	}
	return "@rescue"
}

// rescueLocation is oldLocation without the cookies of old. Only methods that may be
// repeated come here; a POST that new never received is old's alone, with its cookies.
func (d *draft) rescueLocation(s *migration.Service) directives {
	return append(d.oldLocation(s), line("proxy_hide_header", "Set-Cookie"))
}

// onceLocation is entryLocation for requests that a backend may receive only
// once. They go to old only if new never received them; otherwise the client gets
// the response of new, or 502 or 504.
func (d *draft) onceLocation(s *migration.Service) directives {
	lines := directives{tokenFile(s, "safe", "@old")}
	lines = append(lines, d.proxyToNew(s, s.Timeout)...)
	return append(lines, line("error_page", "502", "504", "=", "$mp_after_once."+string(s.Name)))
}

// singleLocation is onceLocation for methods that nginx would send to the next address
// of new, such as MOVE and those that it does not know. It does not try another address
// either if it cannot connect: old gets the request then.
func (d *draft) singleLocation(s *migration.Service) directives {
	return append(d.onceLocation(s), line("proxy_next_upstream", "off"))
}

// finalErrors gives the locations that end a request with an error: @failed and
// @timeout for a request that new may have processed and that must not be
// repeated, and @own_CODE for each status of bodyErrors.
func finalErrors(s *migration.Service) directives {
	lines := directives{returnLocation("@failed", 502, s), returnLocation("@timeout", 504, s)}
	for _, code := range bodyErrors {
		if slices.Contains(s.Fallback.OnStatus, code) {
			lines = append(lines, returnLocation("@own_"+strconv.Itoa(code), code, s))
		}
	}
	return lines
}

// returnLocation makes a named location that answers with a status.
func returnLocation(name string, status int, s *migration.Service) *directive {
	return block("location", []string{name + "." + string(s.Name)}, directives{line("return", strconv.Itoa(status))})
}
