package nginxgen

// logFormat is the access log line. The first half, up to request_time, is
// the original product's; fields are only ever appended. accesslog.Parse reads
// it back.
const logFormat = `$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent ` +
	`backend="$mp_backend" upstream_response_time=$upstream_response_time request_time=$request_time ` +
	`service="$mp_service" decision="$mp_token" upstream_addr="$upstream_addr" upstream_status="$upstream_status" ` +
	`upstream_connect_time="$upstream_connect_time" upstream_header_time="$upstream_header_time" host="$host" request_id="$mp_request_id"`

// logging writes one line a request to a file, in batches: a datagram or a
// pipe would cost a wake-up a line, and a full pipe would stop the worker.
func (d *draft) logging() directives {
	return directives{
		line("log_format", "migration", logFormat),
		line("access_log", d.path("access.log"), "migration", "buffer=64k", "flush=100ms"),
	}
}
