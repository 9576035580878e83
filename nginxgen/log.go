package nginxgen

import (
	"slices"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// logFormat is the format of an access log line; package accesslog parses it. The
// fields up to request_time are those of the original product. New fields are
// only appended.
const logFormat = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent ` +
	`backend="$mp_backend" upstream_response_time=$upstream_response_time request_time=$request_time ` +
	`service="$mp_service" decision="$mp_token" upstream_addr="$upstream_addr" upstream_status="$upstream_status" ` +
	`upstream_connect_time="$upstream_connect_time" upstream_header_time="$upstream_header_time" host="$host" request_id="$mp_request_id"`

// logging writes one line per request to a file, in batches: a datagram or a pipe
// would cost a wake-up per line, and a full pipe would stop the worker. The line
// of a request that failed at new is also sent at once to failures.sock, so that
// the circuit breaker does not wait for the batch.
func (d *draft) logging() directives {
	return directives{
		line("log_format", "migration", logFormat),
		line("access_log", d.path("access.log"), "migration", "buffer=64k", "flush=100ms"),
		line("access_log", "syslog:server=unix:"+d.path("failures.sock")+",nohostname,tag=migration", "migration", "if=$mp_urgent"),
		d.urgentMap(),
	}
}

// urgentMap selects the requests that may have failed at new; package accesslog
// decides which did. The first entries are literals, which nginx finds by hash:
// they cover nearly all requests. A " : " says that nginx asked old after new.
func (d *draft) urgentMap() *directive {
	var pairs []string
	for _, status := range []string{"200", "201", "202", "204", "206", "301", "302", "303", "304", "307", "308", "401", "403", "404"} {
		if d.failsOn(status) {
			continue
		}
		pairs = append(pairs, "new_backend "+status, "0")
	}
	failures := `5|[-, ]*\z`
	if d.any(func(s *migration.Service) bool { return slices.ContainsFunc(s.Fallback.OnStatus, below500) }) {
		failures = `[45]|[-, ]*\z`
	}
	pairs = append(pairs, "old_backend 200", "0", "old_backend 304", "0",
		"~ : ", "1",
		`~\Anew_backend (?:[^:]*, )?(?:`+failures+`)`, "1",
		"default", "0")
	return mapping("$mp_backend $upstream_status", "$mp_urgent", pairs...)
}

func below500(status int) bool { return status < 500 }

// failsOn tells whether some service counts a status as a failure.
func (d *draft) failsOn(status string) bool {
	return d.any(func(s *migration.Service) bool {
		return slices.ContainsFunc(s.Fallback.OnStatus, func(code int) bool { return strconv.Itoa(code) == status })
	})
}
