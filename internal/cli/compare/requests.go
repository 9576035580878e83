package compare

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
)

// perRoute is how many different requests of one route are asked.
const perRoute = 20

// maxLine is longer than any line of an access log of this proxy.
const maxLine = 256 << 10

// requests are what is to be asked for one service.
type requests struct {
	service *migration.Service
	skip    []string
	host    string // for lines without a host
	tally   *compare.Tally
	chosen  []compare.Request
	seen    map[string]bool // targets
	ofRoute map[string]int
	foreign int // lines of other services
}

func newRequests(s *migration.Service, skip []string) *requests {
	host := string(s.OldHost)
	if s.OldHost.Wildcard() {
		host = "compare" + host[1:]
	}
	if s.Compare != nil {
		skip = append(skip, s.Compare.Skip...)
	}
	return &requests{service: s, skip: skip, host: host, tally: &compare.Tally{}, seen: map[string]bool{}, ofRoute: map[string]int{}}
}

// readPaths reads one request a line: "/path?query" or "GET /path?query". Empty lines and
// those that begin with # are no requests.
func (r *requests) readPaths(from io.Reader) error {
	number := 0
	return eachLine(from, func(line string) error {
		number++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			return nil
		}
		method, target, found := strings.Cut(line, " ")
		if !found {
			method, target = "GET", line
		}
		if !strings.HasPrefix(target, "/") {
			return fmt.Errorf("line %d: %q is no path: write /path, or GET /path", number, line)
		}
		r.add(method, r.host, target, "")
		return nil
	})
}

// readLog reads an access log: that of this proxy, as text or JSON, or one with the request in
// quotes, as nginx, Apache and ingress controllers write it. Lines of other hosts and paths
// are left out.
func (r *requests) readLog(from io.Reader) error {
	return eachLine(from, func(line string) error {
		logged, ok := readJSON(line)
		if !ok {
			logged, ok = readQuoted(line)
		}
		if !ok || logged.Decision == "old/compare" || logged.Decision == "new/compare" {
			return nil // a line of something else, such as an error, or a request of the agent
		}
		host := cmp.Or(logged.Host, r.host)
		if !r.belongs(host, logged.Target) {
			r.foreign++
			return nil
		}
		r.add(logged.Method, host, logged.Target, logged.ID)
		return nil
	})
}

// loggedRequest is a line of an access log.
type loggedRequest struct {
	Method   string `json:"method"`
	Target   string `json:"target"`
	Host     string `json:"host"` // "" if the line has none
	ID       string `json:"request_id"`
	Decision string `json:"decision"`
}

// readJSON reads a line of this proxy with --access-log-format json.
func readJSON(line string) (loggedRequest, bool) {
	var logged loggedRequest
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &logged) != nil {
		return loggedRequest{}, false
	}
	return logged, logged.Method != "" && logged.Target != ""
}

func readQuoted(line string) (loggedRequest, bool) {
	_, rest, found := strings.Cut(line, `"`)
	request, rest, closed := strings.Cut(rest, `"`)
	fields := strings.Fields(request)
	if !found || !closed || len(fields) < 2 {
		return loggedRequest{}, false
	}
	return loggedRequest{fields[0], fields[1], value(rest, "host"), value(rest, "request_id"), value(rest, "decision")}, true
}

// value reads key="value".
func value(text, key string) string {
	_, after, found := strings.Cut(text, " "+key+`="`)
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(after, `"`)
	return value
}

// belongs tells whether a request is one of the service, as far as its own host and path
// say it.
func (r *requests) belongs(host, target string) bool {
	raw, _, _ := strings.Cut(target, "?")
	path, ok := migration.NormalizePath(raw)
	if !ok {
		return false
	}
	name := migration.NormalizeHost(host)
	own := name == string(r.service.OldHost)
	if r.service.OldHost.Wildcard() {
		own = strings.HasSuffix(name, string(r.service.OldHost[1:]))
	}
	return own && (r.service.PathPrefix.Matches(path) || r.service.PathPrefix.MatchesLoosely(path))
}

// add counts a request, and chooses it if it is new and its route has room.
func (r *requests) add(method, host, target, id string) {
	if reason := sampling.CheckRequest(method, target, r.skip); reason != "" {
		r.tally.Left(reason)
		return
	}
	request := compare.Request{Method: method, Host: host, Target: target, ID: id}
	route := compare.RouteKey(method, request.Path())
	r.tally.Saw(route)
	key := method + " " + host + target
	if r.seen[key] || r.ofRoute[route] >= perRoute {
		return
	}
	r.seen[key] = true
	r.ofRoute[route]++
	r.chosen = append(r.chosen, request)
}

func eachLine(from io.Reader, use func(string) error) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := use(lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

// variants are the targets beside a request in which controllers differ: the slash at the
// end, the case of letters, a doubled slash, and a path below it that is not known.
func variants(request compare.Request) []compare.Request {
	path, query, hasQuery := strings.Cut(request.Target, "?")
	if path == "/" {
		return nil
	}
	slash := path + "/"
	if strings.HasSuffix(path, "/") {
		slash = strings.TrimSuffix(path, "/")
	}
	last := strings.LastIndexByte(strings.TrimSuffix(path, "/"), '/')
	all := []string{slash, path[:last] + "/" + path[last:], strings.TrimSuffix(path, "/") + "/not-there-migration-proxy"}
	if upper := path[:last] + strings.ToUpper(path[last:]); upper != path {
		all = append(all, upper)
	}
	var made []compare.Request
	for _, target := range all {
		if hasQuery {
			target += "?" + query
		}
		variant := request
		variant.Target, variant.ID = target, ""
		made = append(made, variant)
	}
	return made
}
