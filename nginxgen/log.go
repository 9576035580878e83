package nginxgen

import (
	"slices"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// logFormat is the access log line. The first half, up to request_time, is
// the original product's; fields are only ever appended. accesslog.Parse reads
// it back.
const logFormat = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent ` +
	`backend="$mp_backend" upstream_response_time=$upstream_response_time request_time=$request_time ` +
	`service="$mp_service" decision="$mp_token" upstream_addr="$upstream_addr" upstream_status="$upstream_status" ` +
	`upstream_connect_time="$upstream_connect_time" upstream_header_time="$upstream_header_time" host="$host" request_id="$mp_request_id"`

// logging writes one line a request to a file, in batches: a datagram or a
// pipe would cost a wake-up a line, and a full pipe would stop the worker. The
// line of a request that new failed is sent at once as well, so that a trip
// need not wait for the batch.
func (d *draft) logging() directives {
	return directives{
		line("log_format", "migration", logFormat),
		line("access_log", d.path("access.log"), "migration", "buffer=64k", "flush=100ms"),
		line("access_log", "syslog:server=unix:"+d.path("failures.sock")+",nohostname,tag=migration", "migration", "if=$mp_urgent"),
		d.urgent(),
	}
}

// urgent finds the requests that new may have failed; the reader judges them.
// The first lines are literals, found by hash, for what nearly all requests
// are. A " : " says that old was asked after new.
func (d *draft) urgent() *directive {
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

// failsOn tells whether some service takes a status for a failure.
func (d *draft) failsOn(status string) bool {
	return d.any(func(s *migration.Service) bool {
		return slices.ContainsFunc(s.Fallback.OnStatus, func(code int) bool { return strconv.Itoa(code) == status })
	})
}
