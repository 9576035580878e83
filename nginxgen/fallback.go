package nginxgen

import (
	"slices"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// clientGone is nginx's own word for a client that left. error_page refuses
// it, so new's 499 reaches the client; as a failure it counts all the same.
const clientGone = 499

// ownErrors are what nginx itself says of a request's body, before new is
// asked: malformed, too large, not to be kept (the disk is full).
var ownErrors = []int{400, 413, 500}

// fallToOld sends a request that new failed to old, whatever stage it failed
// in; only for methods that may be sent twice. nginx cannot tell its own 502
// and 504 from new's, so both count as soon as any status does. Where it has
// not asked new the body is not whole, and old must not be asked with it.
func (d *draft) fallToOld(s *migration.Service) directives {
	codes := slices.Concat([]int{502, 504}, s.Fallback.OnStatus)
	slices.Sort(codes)
	var args []string
	var lines directives
	for _, code := range slices.Compact(codes) {
		text := strconv.Itoa(code)
		switch {
		case slices.Contains(ownErrors, code):
			after := d.share("after", "map", "$upstream_status", directives{line("", "@own_"+text), line("default", "@old")})
			lines = append(lines, line("error_page", text, "=", after+"."+string(s.Name)))
		case code != clientGone:
			args = append(args, text)
		}
	}
	lines = append(lines, line("error_page", append(args, "=", "@old."+string(s.Name))...))
	if len(s.Fallback.OnStatus) > 0 {
		lines = append(lines, line("proxy_intercept_errors", "on"))
	}
	return lines
}

// once is entry for requests that new may see at most once: to old only if
// new never saw them, else the client gets new's own answer, or 502 or 504.
func (d *draft) once(s *migration.Service) directives {
	lines := directives{line("try_files", "/safe/$mp_token", "@old."+string(s.Name))}
	lines = append(lines, d.towardsNew(s)...)
	return append(lines, line("error_page", "502", "504", "=", "$mp_after_once."+string(s.Name)))
}

// giveUp is where a request ends that new may have acted upon and that must
// not be repeated, and one that cannot be sent to anybody, see ownErrors.
func giveUp(s *migration.Service) directives {
	lines := directives{end("@failed", 502, s), end("@timeout", 504, s)}
	for _, code := range ownErrors {
		if slices.Contains(s.Fallback.OnStatus, code) {
			lines = append(lines, end("@own_"+strconv.Itoa(code), code, s))
		}
	}
	return lines
}

func end(name string, status int, s *migration.Service) *directive {
	return block("location", []string{name + "." + string(s.Name)}, directives{line("return", strconv.Itoa(status))})
}
