package nginxgen

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/migration-proxy/migration-proxy/migration"
)

// logFormat is the format of an access log line; package accesslog parses it. The
// fields up to request_time are those of the original product. New fields are
// only appended.
var logFormat = logFormatOf("$mp_logged_user", "$mp_logged_request", "$mp_logged_host", "$mp_logged_id", "$mp_logged_agent")

// logFormatOf gives the format with these variables for the values that a client chooses.
func logFormatOf(user, request, host, id, agent string) string {
	return `$remote_addr - ` + user + ` [$time_local] "` + request + `" $status $body_bytes_sent ` +
		`backend="$mp_asked" upstream_response_time=$upstream_response_time request_time=$request_time ` +
		`service="$mp_service" decision="$mp_token" upstream_addr="$upstream_addr" upstream_status="$upstream_status" ` +
		`upstream_connect_time="$upstream_connect_time" upstream_header_time="$upstream_header_time" host="` + host +
		`" request_id="` + id + `" stream="$mp_stream" user_agent="` + agent + `"`
}

// urgentFormat is logFormat with how much of the request new took, see
// accesslog.Upstream.
var urgentFormat = logFormat + ` request_length=$request_length upstream_bytes_sent="$upstream_bytes_sent"`

// logging writes one line per request to a file, in batches: a datagram or a pipe
// would cost a wake-up per line, and a full pipe would stop the worker. The line
// of a request that failed at new is also sent at once to failures.sock, so that
// the circuit breaker does not wait for the batch.
//
// Few requests are long, and the maps that cut their values cost as much as the dice. So
// the others have a format without them.
func (d *draft) logging() directives {
	lines := directives{
		line("log_format", "migration", logFormat),
		line("log_format", "usual", logFormatOf("$remote_user", "$request", "$host", "$mp_request_id", "$http_user_agent")),
		line("log_format", "urgent", urgentFormat),
		line("access_log", d.path("access.log"), "usual", "buffer=64k", "flush=100ms", "if=$mp_usual"),
		line("access_log", d.path("access.log"), "migration", "buffer=64k", "flush=100ms", "if=$mp_long"),
		d.urgentLog("urgent", "$mp_urgent"),
		// The first log reads $mp_usual before the second reads $mp_long.
		mapping("$request_length", "$mp_usual", `~\A(?<mp_long>[2-9][0-9]{3}|[0-9]{5,})\z`, "", "default", "1"),
	}
	lines = append(lines, loggedMaps()...)
	return append(append(lines, d.askedMap(), redirectedMap()), d.grpcMaps()...)
}

// loggedMaps bounds what one request writes to the log: nginx writes most bytes as four
// characters, so that a request of 31 KB was a line of 124 KB. Only the end of long values
// is lost. An expression that needs more characters than there are costs next to nothing.
// All this is for requests of 2,000 bytes and more, see logging.
func loggedMaps() directives {
	head := func(name string, length int) (expression, value string) {
		return fmt.Sprintf(`~\A(?<mp_%s_head>[\x00-\xff]{%d})[\x00-\xff]`, name, length), "$mp_" + name + "_head"
	}
	request, itsHead := head("request", 1000)
	user, userHead := head("user", 64)
	host, hostHead := head("host", 255)
	id, idHead := head("id", 128)
	agent, agentHead := head("agent", 200)
	return directives{
		mapping("$request", "$mp_logged_request", request, itsHead, "default", "$request"),
		mapping("$remote_user", "$mp_logged_user", "", "-", user, userHead, "default", "$remote_user"),
		mapping("$host", "$mp_logged_host", host, hostHead, "default", "$host"),
		mapping("$mp_request_id", "$mp_logged_id", id, idHead, "default", "$mp_request_id"),
		mapping("$http_user_agent", "$mp_logged_agent", "", "-", agent, agentHead, "default", "$http_user_agent"),
	}
}

// accessLogs gives the two logs with their formats. The variable says which lines are
// also sent at once.
func (d *draft) accessLogs(format, atOnce, urgent string) directives {
	return directives{
		line("access_log", d.path("access.log"), format, "buffer=64k", "flush=100ms"),
		d.urgentLog(atOnce, urgent),
	}
}

// urgentLog sends the lines at once for which the variable is not empty.
func (d *draft) urgentLog(format, urgent string) *directive {
	return line("access_log", "syslog:server=unix:"+d.path("failures.sock")+",nohostname,tag=migration", format, "if="+urgent)
}

// askedMap gives the backend that was asked last, or "" if none was: when the
// client broke off its upload, or nginx refused the body, $mp_backend already says
// which one it would have been. The same lookup selects the requests that may have
// failed at new, by setting $mp_urgent; package accesslog decides which did. The
// access log reads $mp_asked before the other log reads $mp_urgent. The first
// entries are literals, which nginx finds by hash: they cover nearly all requests.
// A " : " says that nginx asked old after new. $mp_redirected is for redirects.
func (d *draft) askedMap() *directive {
	pairs := []string{"new_backend ", "", "old_backend ", ""}
	for _, status := range []string{"200", "201", "202", "204", "206", "301", "302", "303", "304", "307", "308", "401", "403", "404"} {
		if d.failsOn(status) {
			continue
		}
		value := "new_backend"
		if status[0] == '3' && status != "304" {
			value = "$mp_redirected"
		}
		pairs = append(pairs, "new_backend "+status, value)
	}
	failures := `5|[-, ]*\z`
	if d.any(func(s *migration.Service) bool { return slices.ContainsFunc(s.Fallback.OnStatus, below500) }) {
		failures = `[45]|[-, ]*\z`
	}
	pairs = append(pairs, "old_backend 200", "old_backend", "old_backend 304", "old_backend",
		"~(?<mp_urgent> : )", "$mp_backend",
		`~\A(?<mp_urgent>new)_backend (?:[^:]*, )?(?:`+failures+`)`, "$mp_backend",
		"default", "$mp_backend")
	return mapping("$mp_backend $upstream_status", "$mp_asked", pairs...)
}

// redirectedMap selects redirects of new to the address that was asked for: they never
// lead to an answer, unless a cookie makes the next request another one.
func redirectedMap() *directive {
	return mapping("$request_method:$upstream_http_set_cookie:$mp_client_scheme://$mp_client_authority$request_uri $sent_http_location", "$mp_redirected",
		`~\A(?<mp_urgent>GET|HEAD)::(https?://[^/ ]+)(/[^ ]*) (?:(?i:\2))?\3(?:#.*)?\z`, "new_backend", "default", "new_backend")
}

func below500(status int) bool { return status < 500 }

// failsOn tells whether some service counts a status as a failure.
func (d *draft) failsOn(status string) bool {
	return d.any(func(s *migration.Service) bool {
		return slices.ContainsFunc(s.Fallback.OnStatus, func(code int) bool { return strconv.Itoa(code) == status })
	})
}
