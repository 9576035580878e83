package sampling

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// Asker asks on the sockets of one nginx. Its methods may be called from any goroutine.
type Asker struct {
	Dir    string // the runtime directory of the nginx
	Scheme string // that clients use: https or http
	// Headers are sent as well, such as a cookie of a person who tests. None by default.
	Headers []Header
	Errors  *Errors
	looks   atomic.Uint64
}

// Header is one line of the head of a request. Its form is checked by ParseHeader.
type Header struct{ Name, Value string }

// Client is the address that backends get for the client: it is for documentation, so
// that no application trusts it.
const Client = "192.0.2.1"

// UserAgent is that of all requests.
const UserAgent = "migration-proxy-compare"

// Look asks old, new, and old again, and once more if new differs. It asks new first every
// other time: the second side may find caches warm. Cost is how many requests old and new
// got.
func (a *Asker) Look(ctx context.Context, s *migration.Service, request compare.Request) (sample compare.Sample, verdict compare.Verdict, cost Cost) {
	ask := func(side migration.Side) compare.Answer {
		cost.add(side)
		return a.ask(ctx, s, side, request)
	}
	sample = compare.Sample{Request: request, NewHost: string(s.NewHost)}
	if a.looks.Add(1)%2 == 0 {
		sample.New = ask(migration.New)
		sample.Old = ask(migration.Old)
	} else {
		sample.Old = ask(migration.Old)
		sample.New = ask(migration.New)
	}
	sample.Again = ask(migration.Old)
	if other := sample.FollowUp(); other != "" {
		cost.New++
		lower := request
		lower.Target = other
		answer := a.ask(ctx, s, migration.New, lower)
		sample.Lower = &answer
	}
	verdict = compare.Judge(&sample)
	if len(verdict.Differences) > 0 {
		new, old := ask(migration.New), ask(migration.Old)
		verdict = compare.Confirm(verdict, compare.Again(&sample, new, old))
	}
	return sample, verdict, cost
}

// Cost is how many requests each side got.
type Cost struct{ Old, New int }

func (c *Cost) add(side migration.Side) {
	if side == migration.New {
		c.New++
	} else {
		c.Old++
	}
}

// ask asks one side. Old has no timeout in nginx, so the service's holds for both here.
func (a *Asker) ask(ctx context.Context, s *migration.Service, side migration.Side, request compare.Request) compare.Answer {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout+s.ConnectTimeout)
	defer cancel()
	began := time.Now()
	answer, err := a.exchange(ctx, side, request)
	answer.Duration = time.Since(began)
	switch {
	case ctx.Err() != nil || errors.Is(err, context.DeadlineExceeded):
		return compare.Answer{Status: http.StatusGatewayTimeout, Failure: compare.Timeout, Duration: answer.Duration}
	case err != nil:
		return compare.Answer{Status: http.StatusBadGateway, Failure: compare.Reset, Detail: err.Error(), Duration: answer.Duration}
	}
	answer.Failure = failureOf(&answer)
	if answer.Failure == compare.Connect && s.NewBackend.Scheme == migration.HTTPS {
		if message := a.Errors.handshake(ctx, request.Target, began); message != "" {
			answer.Failure, answer.Detail = compare.TLS, message
		}
	}
	return answer
}

// failureOf reads nginxgen.CompareHeader: without the time of a header of the last try,
// nginx itself has answered.
func failureOf(answer *compare.Answer) compare.Failure {
	parts := strings.Split(answer.Header.Get(nginxgen.CompareHeader), ";")
	own := answer.Status == http.StatusBadGateway || answer.Status == http.StatusGatewayTimeout
	if len(parts) != 3 || !own || measured(parts[2]) {
		return compare.None
	}
	switch {
	case !measured(parts[1]):
		return compare.Connect
	case answer.Status == http.StatusGatewayTimeout:
		return compare.Timeout
	}
	return compare.Reset
}

// measured tells whether the last try in a list of nginx has a time.
func measured(times string) bool {
	last := strings.TrimSpace(times[strings.LastIndexAny(times, ",: ")+1:])
	return last != "" && last != "-"
}

// exchange sends the request and reads the answer. It writes the bytes of the target as
// the client sent them.
func (a *Asker) exchange(ctx context.Context, side migration.Side, request compare.Request) (compare.Answer, error) {
	socket := nginxgen.CompareOldSocket
	if side == migration.New {
		socket = nginxgen.CompareNewSocket
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(a.Dir, socket))
	if err != nil {
		return compare.Answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends reads and writes
	defer func() {
		stop()
		_ = conn.Close()
	}()
	if _, err := io.WriteString(conn, a.head(request)); err != nil {
		return compare.Answer{}, err
	}
	return readAnswer(bufio.NewReader(conn), request.Method)
}

// head is the whole request.
func (a *Asker) head(request compare.Request) string {
	port := map[string]string{"https": "443", "http": "80"}[a.Scheme]
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: %s\r\n", request.Method, request.Target, request.Host)
	for _, header := range append([]Header{
		{"User-Agent", UserAgent}, {"Accept", "*/*"}, {"Accept-Encoding", "gzip"}, {"X-Migration-Compare", "1"},
		{"X-Real-IP", Client}, {"X-Forwarded-For", Client}, {"X-Forwarded-Host", request.Host},
		{"X-Forwarded-Port", port}, {"X-Forwarded-Proto", a.Scheme}, {"X-Forwarded-Scheme", a.Scheme}, {"X-Scheme", a.Scheme},
		{"Connection", "close"},
	}, a.Headers...) {
		fmt.Fprintf(&head, "%s: %s\r\n", header.Name, header.Value)
	}
	return head.String() + "\r\n"
}

func readAnswer(from *bufio.Reader, method string) (compare.Answer, error) {
	for {
		response, err := http.ReadResponse(from, &http.Request{Method: method}) //nolint:bodyclose // the connection is closed instead
		if err != nil {
			return compare.Answer{}, err
		}
		if response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
			continue
		}
		answer := compare.Answer{Status: response.StatusCode, Header: response.Header}
		body, err := io.ReadAll(io.LimitReader(response.Body, compare.MaxBody+1))
		answer.Cut = len(body) > compare.MaxBody
		answer.Body = body[:min(len(body), compare.MaxBody)]
		return answer, err
	}
}

// CheckRequest says why a request cannot be asked again; "" if it can.
func CheckRequest(method, target string, skip []string) string {
	if method != http.MethodGet && method != http.MethodHead {
		return "method " + safeMethod(method)
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] >= 0x7f || target[i] == '\\' {
			return "unusual characters"
		}
	}
	switch {
	case !strings.HasPrefix(target, "/"):
		return "no path"
	case len(target) > maxTarget:
		return "too long"
	case compare.Skip(target, skip):
		return "skipped"
	}
	return ""
}

// maxTarget is below what nginx cuts in the access log.
const maxTarget = 900

// safeMethod bounds how many methods are told apart.
func safeMethod(method string) string {
	switch method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
