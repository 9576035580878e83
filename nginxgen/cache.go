package nginxgen

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// identifying are headers that say who the client is, or what part or version of an
// answer it wants. A request with one of them is never answered from the cache: only
// Authorization makes an answer private by itself, and few applications say so for the
// others. Names in the form of HeaderName.Key.
var identifying = []string{
	"authorization", "proxy_authorization", "x_api_key", "x_auth_token", "x_access_token",
	"x_user_id", "x_forwarded_user", "x_auth_request_user", "x_remote_user",
	"range", "if_range", "if_match", "if_unmodified_since", "cache_control", "pragma",
	"content_length", "transfer_encoding", "upgrade",
	"x_http_method_override", "x_http_method", "x_method_override",
}

// forwarded are the headers of proxies in front that answers may have links of, and so
// are part of the key: otherwise one client could choose the links of others.
var forwarded = []string{
	"x_forwarded_host", "x_forwarded_port", "x_forwarded_prefix", "x_forwarded_proto", "x_forwarded_scheme", "x_forwarded_ssl",
}

// negotiated are part of the key where nginx heeds only the last of several lines of
// Vary (before 1.23).
var negotiated = []string{"accept", "accept_encoding", "accept_language", "origin"}

// CacheRoom is how many bytes of its disk the cache leaves free: nginx removes the oldest
// answers when there are fewer, and package cacheroom switches the cache off.
const CacheRoom = 192 << 20

func cached(s *migration.Service) bool { return s.Cache != nil }

// caching gives what the locations of all caches share.
func (d *draft) caching() directives {
	if !d.any(cached) {
		return nil
	}
	const stored = `(?:200|301|308|404|410)`
	return directives{
		// The files of a service that no longer has a cache go after inactive.
		line("proxy_cache_path", d.path("temp", "cache"), "levels=1:2", "keys_zone=migration:16m",
			"max_size="+strconv.FormatInt(d.table.Global().CacheBytes, 10), "min_free="+strconv.Itoa(CacheRoom), "inactive=10m", "use_temp_path=off"),
		// A hit has no $mp_asked.
		line("log_format", "migration_cache", logFormat+` cache="$mp_backend $upstream_cache_status"`),
		// Answers that are not kept: other statuses, Vary with *, more than 10 MB; and, if
		// the length is not known, those that do not say themselves how long they may be kept.
		mapping("$upstream_http_vary$upstream_http_pragma;$upstream_status;$upstream_http_content_length$upstream_http_transfer_encoding;$upstream_http_cache_control$upstream_http_expires",
			"$mp_unstored", `~*\A(?![^;]*no-cache)[^*;]*;(?:[^;]*[ ,])?`+stored+`;(?:[0-9]{1,7};|chunked;.)`, "", "default", "1"),
	}
}

// cacheSwitch is part of each server with a cached service. Without the file cache-on
// requests go past the cache.
func (d *draft) cacheSwitch(services []*migration.Service) directives {
	if !slices.ContainsFunc(services, cached) {
		return nil
	}
	return directives{block("if", []string{"!-f", d.path("cache-on")}, directives{line("set", "$mp_uncached", "1")})}
}

// cacheEntry gives the try_files of the location where requests of a cached service
// enter. A request that may be answered from the cache looks in a directory that does
// not exist, and so goes on in cachedLocations.
func (d *draft) cacheEntry(s *migration.Service) *directive {
	may := d.mayUseCache(s)
	directory, otherwise := "safe$mp_stream$mp_connection", "$mp_otherwise_any"
	if s.Fallback.Enabled {
		directory, otherwise = "$mp_class", "$mp_otherwise"
	}
	class := d.intern("class", "map", may, directives{line("1", "cached"), line("default", directory)})
	target := d.intern("target", "map", may, directives{line("1", "@cached"), line("default", otherwise)})
	return tokenFile(s, class, target)
}

// mayUseCache gives a variable that is 1 for a request without a body that nothing
// ties to its client.
func (d *draft) mayUseCache(s *migration.Service) string {
	stream := d.intern("stream", "map", "$http_accept", directives{line(`~*text/event-stream`, "1"), line("default", "")})
	headers := identifying
	if key := s.HashKey; s.Strategy == migration.StrategyUserHash && key.Source == migration.KeyHeader {
		if name := migration.HeaderName(key.Name).Key(); !slices.Contains(headers, name) {
			headers = append(slices.Clone(headers), name)
		}
	}
	source := "$request_method:$mp_absolute$mp_uncached" + stream + "$http_" + strings.Join(headers, "$http_")
	if d.compared(s) {
		source += "$http_" + migration.HeaderName(CompareHeader).Key()
	}
	if !s.Cache.Cookies {
		source += d.cookies(s)
	}
	return d.intern("may", "map", source, directives{line("GET:", "1"), line("HEAD:", "1"), line("default", "")})
}

// cookies gives a variable that is "" if a request has no cookie that an answer may
// depend on: none at all, or the sticky cookie alone.
func (d *draft) cookies(s *migration.Service) string {
	if !s.Sticky() {
		return "$http_cookie"
	}
	only := `~\A` + migration.LiteralPCRE(s.HashKey.Name) + `=[0-9]{4}\z`
	return d.intern("cookies", "map", "$http_cookie", directives{line(only, ""), line("default", "$http_cookie")})
}

// cachedLocations gives the locations of requests that may be answered from the cache:
//
//	@cached.NAME     to new, or to old if there is no file for the token
//	@cached_old.NAME to old
//	@fresh.NAME      to new past the cache, see cacheErrors
func (d *draft) cachedLocations(s *migration.Service) directives {
	if !cached(s) {
		return nil
	}
	name := "." + string(s.Name)
	lines := append(directives{tokenFile(s, "safe", "@cached_old")}, d.proxyToNew(s, s.Timeout)...)
	lines = append(lines, d.cacheLines(s, migration.New)...)
	if s.Fallback.Enabled {
		lines = append(lines, d.cacheErrors(s)...)
	}
	all := directives{
		block("location", []string{"@cached" + name}, lines),
		block("location", []string{"@cached_old" + name}, d.oldLocation(s), d.cacheLines(s, migration.Old)),
	}
	if s.Fallback.Enabled {
		all = append(all, block("location", []string{"@fresh" + name}, d.newLocation(s, s.Timeout)))
	}
	return all
}

// cacheLines lets a location keep answers. Buffering is on, because nginx keeps only
// what it buffers; an answer with X-Accel-Buffering: no is neither.
func (d *draft) cacheLines(s *migration.Service, side migration.Side) directives {
	lines := directives{
		line("proxy_cache", "migration"),
		line("proxy_cache_key", d.cacheKey(s, side)),
		line("proxy_no_cache", "$mp_unstored"),
		line("proxy_buffering", "on"),
		line("proxy_max_temp_file_size", "0"),
		line("proxy_ignore_headers", "X-Accel-Redirect", "X-Accel-Expires", "X-Accel-Limit-Rate", "X-Accel-Charset"),
	}
	lines = append(lines, d.accessLogs("migration_cache", "migration_cache", "$mp_urgent")...)
	if d.table.Global().DebugHeaders {
		if side == migration.New && !s.Sticky() { // otherwise the location has them
			lines = append(lines, append(d.addedHeaders(), d.addTranslated()...)...)
		}
		lines = append(lines, line("add_header", "X-Migration-Cache", "$upstream_cache_status", "always"))
	}
	if s.Cache.TTL > 0 {
		lines = append(lines, line("proxy_cache_valid", "200", "301", "308", strconv.Itoa(int(s.Cache.TTL/time.Second))+"s"))
	}
	return lines
}

// cacheKey separates what gets different answers: the sides, and what the client called.
// A line break is the separator because no header can have one. The backend is in the
// key, so that a changed one does not answer with the old one's words.
func (d *draft) cacheKey(s *migration.Service, side migration.Side) string {
	parts := []string{string(side), s.NewBackend.String(), string(s.NewHost)}
	if side == migration.Old {
		parts = []string{string(side), s.OldBackend.String(), ""}
	}
	// Forwarded may also be different for each client, if it has no host and no scheme.
	said := d.intern("said", "map", "$http_forwarded", directives{line("~*(?:host|proto) *=", "$http_forwarded"), line("default", "")})
	parts = append(parts, "$mp_client_scheme", "$mp_called_host", "$request_uri", said)
	headers := forwarded
	if d.params.Version.heedsLastVaryOnly() {
		headers = slices.Concat(forwarded, negotiated)
	}
	for _, name := range headers {
		parts = append(parts, "$http_"+name)
	}
	return strings.Join(parts, "\n")
}

// cacheErrors sends a request that new failed to old, like retryOnOld. nginx keeps an
// error that it intercepts as long as the error says (503 with max-age), and would then
// send the request to old without asking new. The second request is such a HIT, and
// asks new past the cache. A request without a body needs no bodyErrors.
func (d *draft) cacheErrors(s *migration.Service) directives {
	after := d.intern("failed", "map", "$upstream_cache_status", directives{line("HIT", "@fresh"), line("default", retryTarget(s))})
	codes := slices.Concat([]int{502, 504}, s.Fallback.OnStatus)
	slices.Sort(codes)
	var args []string
	for _, code := range slices.Compact(codes) {
		if code != clientClosedRequest {
			args = append(args, strconv.Itoa(code))
		}
	}
	lines := directives{
		line("error_page", append(args, "=", after+"."+string(s.Name))...),
		line("recursive_error_pages", "on"),
	}
	if len(s.Fallback.OnStatus) > 0 {
		lines = append(lines, line("proxy_intercept_errors", "on"))
	}
	return lines
}
