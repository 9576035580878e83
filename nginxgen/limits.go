package nginxgen

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// The values of most services are written once, in the http block; a location
// repeats only what differs.
const commonTries = 3

// longSilence is how long a backend may say nothing where the proxy should not be
// the first to give up: old always, new within an upgraded connection or an event
// stream. The client or the ingress controller in front ends the request before.
const longSilence = 24 * time.Hour

// usual is what most services have.
type usual struct {
	connect, silence, retry time.Duration
	caFile                  string // of those that verify new; "" for the system's
}

func (d *draft) findUsual() usual {
	services := d.table.Services()
	found := usual{
		connect: mostCommon(services, 5*time.Second, func(s *migration.Service) time.Duration { return s.ConnectTimeout }),
		silence: mostCommon(services, time.Minute, func(s *migration.Service) time.Duration { return s.Timeout }),
		retry:   mostCommon(services, 5*time.Second, d.retryTime),
	}
	if d.params.Version.sharesTLS() {
		verifying := slices.DeleteFunc(slices.Clone(services), func(s migration.Service) bool {
			return s.NewBackend.Scheme != migration.HTTPS || !s.TLS.Verify || hasStandby(&s)
		})
		found.caFile = mostCommon(verifying, "", func(s *migration.Service) string { return s.TLS.CAFile })
	}
	return found
}

// mostCommon gives the value that most services have, the smallest of several.
func mostCommon[T cmp.Ordered](services []migration.Service, ofNone T, value func(*migration.Service) T) T {
	counts := map[T]int{}
	best := ofNone
	for i := range services {
		counts[value(&services[i])]++
	}
	for candidate, count := range counts {
		if cmp.Or(cmp.Compare(count, counts[best]), cmp.Compare(best, candidate)) > 0 {
			best = candidate
		}
	}
	return best
}

// retryTime is the time after which no further try at new begins. With connections
// that hang for 5 s and tries enough:
//
//	addresses  retry time  tries that hang, before old answers
//	1          5 s         1
//	2 or more  9.999 s     2
//
// An answer that does not begin within the timeout gets no second try at new, as the
// timeout is longer, unless the user made it short.
func (d *draft) retryTime(s *migration.Service) time.Duration {
	if len(d.endpoints[s.NewBackend]) > 1 {
		return 2*s.ConnectTimeout - time.Millisecond
	}
	return min(s.ConnectTimeout, s.Timeout)
}

// limitDefaults gives the limits of most services towards new.
func (d *draft) limitDefaults() directives {
	return append(silence(d.usual.silence),
		line("proxy_connect_timeout", milliseconds(d.usual.connect)),
		line("proxy_next_upstream_timeout", milliseconds(d.usual.retry)),
		line("proxy_next_upstream_tries", strconv.Itoa(commonTries)))
}

// limitsToNew gives the limits of a service towards new where they differ from those
// of most.
func (d *draft) limitsToNew(s *migration.Service, allowed time.Duration) directives {
	lines := d.limits(s)
	if allowed != d.usual.silence {
		lines = append(lines, silence(allowed)...)
	}
	if retry := d.retryTime(s); retry != d.usual.retry {
		lines = append(lines, line("proxy_next_upstream_timeout", milliseconds(retry)))
	}
	return lines
}

// limitsToOld gives the limits of a service towards old. There is no third side, so
// only the number of tries ends them.
func (d *draft) limitsToOld(s *migration.Service) directives {
	lines := append(d.limits(s), silence(longSilence)...)
	return append(lines, line("proxy_next_upstream_timeout", "0"))
}

// limits gives the time to connect, tries, body size and gzip of a service where they
// differ from the defaults.
func (d *draft) limits(s *migration.Service) directives {
	var lines directives
	if s.ConnectTimeout != d.usual.connect {
		lines = append(lines, line("proxy_connect_timeout", milliseconds(s.ConnectTimeout)))
	}
	if s.Tries != commonTries {
		lines = append(lines, line("proxy_next_upstream_tries", strconv.Itoa(s.Tries)))
	}
	if s.MaxBodyBytes > 0 {
		lines = append(lines, line("client_max_body_size", strconv.FormatInt(s.MaxBodyBytes, 10)))
	}
	if s.Gzip {
		lines = append(lines, line("gzip", "on"))
	}
	return lines
}

// silence limits the time between two reads of an answer, the first included, and
// between two writes of a request.
func silence(allowed time.Duration) directives {
	return directives{
		line("proxy_send_timeout", milliseconds(allowed)),
		line("proxy_read_timeout", milliseconds(allowed)),
	}
}

func milliseconds(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10) + "s"
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
