package nginxgen

import (
	"slices"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// clientGone is nginx's own word for a client that left. error_page refuses
// it, so new's 499 reaches the client; as a failure it counts all the same.
const clientGone = 499

// fallToOld sends a request that new failed to old, whatever stage it failed
// in; only for methods that may be sent twice. nginx cannot tell its own 502
// and 504 from new's, so both count as soon as any status does.
func fallToOld(s *migration.Service) directives {
	codes := []int{502, 504}
	if len(s.Fallback.OnStatus) > 0 {
		codes = append(codes, s.Fallback.OnStatus...)
		slices.Sort(codes)
		codes = slices.Compact(codes)
	}
	args := make([]string, 0, len(codes)+2)
	for _, code := range codes {
		if code != clientGone {
			args = append(args, strconv.Itoa(code))
		}
	}
	lines := directives{line("error_page", append(args, "=", "@old."+string(s.Name))...)}
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
// not be repeated.
func giveUp(s *migration.Service) directives {
	return directives{
		block("location", []string{"@failed." + string(s.Name)}, directives{line("return", "502")}),
		block("location", []string{"@timeout." + string(s.Name)}, directives{line("return", "504")}),
	}
}
