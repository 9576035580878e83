package behavior

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

const quick = 2 * time.Millisecond

var loopback = netip.MustParseAddr("127.0.0.1")

// hostilePage is one file below testdata/hostile: a text, and cases like
//
//	== name
//	# the reason for the case
//	> a line of the request, with CR LF; it may have \x00, \r, \n and {A*33000}
//	| the same without CR LF
//	< a line of the response of the backend
//	% 2 requests     the number of requests, if not 1; "waits": the client closes
//	                 before the request ends; "trusted": the client is trusted
//	? X-Real-IP, ... show these headers of the request; "< Location": of the response
//	! reason         why the proxy differs from plain nginx, see differs
//	= the result, or "= WAY: the result" where the ways differ
//
// The test writes the results with -update. They are those of nginx 1.22.
type hostilePage struct {
	head  string
	cases []hostileCase
}

type hostileCase struct {
	name            string
	lines           []string // as in the file, without the results
	request, answer string
	requests        int
	waits, trusted  bool
	shown           []string
	reasons         []string
	wanted          []string          // the results in the file
	results         map[string]string // of the test, by way.label
}

func parseHostile(t *testing.T, file string) hostilePage {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	parts := strings.Split(string(text), "\n== ")
	page := hostilePage{head: parts[0]}
	for _, part := range parts[1:] {
		page.cases = append(page.cases, parseHostileCase(t, part))
	}
	return page
}

func parseHostileCase(t *testing.T, text string) hostileCase {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	c := hostileCase{name: lines[0], requests: 1}
	for _, line := range lines[1:] {
		kind, rest := line[:1], strings.TrimPrefix(line[1:], " ")
		if kind == "=" {
			c.wanted = append(c.wanted, rest)
			continue
		}
		c.lines = append(c.lines, line)
		switch kind {
		case ">":
			c.request += expand(t, rest) + "\r\n"
		case "|":
			c.request += expand(t, rest)
		case "<":
			c.answer += expand(t, rest) + "\r\n"
		case "?":
			c.shown = append(c.shown, strings.Split(rest, ", ")...)
		case "!":
			c.reasons = append(c.reasons, rest)
		case "%":
			c.option(t, rest)
		default:
			require.Equal(t, "#", kind, "%s: %s", c.name, line)
		}
	}
	return c
}

func (c *hostileCase) option(t *testing.T, text string) {
	number, ok := strings.CutSuffix(text, " requests")
	switch {
	case ok:
		n, err := strconv.Atoi(number)
		require.NoError(t, err)
		c.requests = n
	case text == "waits":
		c.waits = true
	case text == "trusted":
		c.trusted = true
	default:
		require.Fail(t, "unknown option", "%s: %s", c.name, text)
	}
}

var repeated = regexp.MustCompile(`\{([^{}*]+)\*([0-9]+)\}`)

// expand replaces the escapes of the file.
func expand(t *testing.T, text string) string {
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	require.NoError(t, err)
	return repeated.ReplaceAllStringFunc(text, func(found string) string {
		part := repeated.FindStringSubmatch(found)
		n, _ := strconv.Atoi(part[2])
		return strings.Repeat(part[1], n)
	})
}

// String is the text of the file, with the results of the test.
func (p hostilePage) String() string {
	out := strings.TrimRight(p.head, "\n") + "\n"
	for _, c := range p.cases {
		out += "\n== " + c.name + "\n" + strings.Join(c.lines, "\n") + "\n" + c.resultText()
	}
	return out
}

func (c hostileCase) resultText() string {
	zero, full := c.results["0 %"], c.results["100 %"]
	if zero == full && zero == c.results["plain"] {
		return "= " + zero + "\n"
	}
	proxy := "= 0 %: " + zero + "\n= 100 %: " + full + "\n"
	if zero == full {
		proxy = "= proxy: " + zero + "\n"
	}
	return proxy + "= plain: " + c.results["plain"] + "\n"
}

var (
	simpleStart  = regexp.MustCompile(`\A[A-Z]+ (/[!-~]*) HTTP/1\.[01]\r\n`)
	simpleHeader = regexp.MustCompile(`\A([A-Za-z0-9_-]+): ?([ -~]*)\z`)
)

// parse parses a single, unambiguous request for migration.Table.Decide.
func (c hostileCase) parse() (request migration.Request, forwardedFor string, ok bool) {
	head, _, ended := strings.Cut(c.request, "\r\n\r\n")
	start := simpleStart.FindStringSubmatch(head + "\r\n")
	if start == nil || !ended || c.requests != 1 {
		return request, "", false
	}
	request = migration.Request{Target: start[1], Header: map[string]string{}, Dice: "any"}
	hosts := 0
	for _, line := range strings.Split(head, "\r\n")[1:] {
		part := simpleHeader.FindStringSubmatch(line)
		if part == nil {
			return request, "", false
		}
		key := strings.ReplaceAll(strings.ToLower(part[1]), "-", "_")
		if _, twice := request.Header[key]; twice {
			return request, "", false
		}
		request.Header[key] = strings.TrimSpace(part[2])
		if strings.EqualFold(part[1], "X-Forwarded-For") {
			forwardedFor = request.Header[key]
		}
		if key == "host" {
			hosts++
		}
	}
	request.Host = request.Header["host"]
	return request, forwardedFor, hosts == 1
}

// isWanted reports whether the file expects these requests at the backends.
func (c hostileCase) isWanted(w *way, arrived string) bool {
	return slices.ContainsFunc(c.wanted, func(line string) bool {
		label, _, labeled := strings.Cut(line, ": ")
		forThisWay := label == w.label || label == "proxy" && w.side != ""
		return strings.HasSuffix(line, " closed"+arrived) && (forThisWay || !labeled || strings.Contains(label, " closed"))
	})
}

// sentinel is a last request on the connection of a case. Its answer shows that
// client, nginx and backend agree where the requests before it end.
const sentinel = "GET /sentinel HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n"

// exchange sends the request and describes what the client got: the statuses,
// and whether the connection then served the sentinel.
func (c hostileCase) exchange(t *testing.T, w *way, before int) string {
	l := dial(t, w.address)
	require.NoError(t, l.SetDeadline(time.Now().Add(patience/2)))
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = io.WriteString(l.Conn, c.request) }()
	if c.waits {
		<-sent
		// A backend may still read a part of it, see "streamed to old".
		for deadline := time.Now().Add(time.Second); !c.isWanted(w, c.describe(w, w.witness.since(before))) && time.Now().Before(deadline); {
			time.Sleep(quick)
		}
		require.NoError(t, l.Conn.(*net.TCPConn).CloseWrite())
	}
	var got []string
	for range c.requests {
		status, open := c.readOne(l)
		got = append(got, status)
		if status == "101" {
			return "101 taken over"
		}
		if !open {
			rest, _ := io.ReadAll(l.reader)
			if len(rest) > 0 {
				got = append(got, fmt.Sprintf("then %.40q", rest))
			}
			return strings.Join(append(got, "closed"), " ")
		}
	}
	<-sent
	_, _ = io.WriteString(l.Conn, sentinel)
	answer, err := readHead(l.reader)
	rest, _ := io.ReadAll(l.reader)
	if err != nil || !strings.Contains(answer.Start, " 299 ") || len(rest) > 0 {
		return fmt.Sprintf("%s OUT OF STEP: %q %q", strings.Join(got, " "), answer.Start, rest)
	}
	return strings.Join(append(got, "kept"), " ")
}

// readOne reads one response and describes it. open: another may follow.
func (c hostileCase) readOne(l *rawConn) (description string, open bool) {
	start, err := l.reader.Peek(5)
	switch {
	case err != nil && len(start) == 0:
		return "nothing", false
	case string(start) != "HTTP/":
		return "bare text", false
	}
	method, _, _ := strings.Cut(c.request, " ")
	answer, _, err := readAnswer(l.reader, method)
	if err != nil {
		return fmt.Sprintf("broken answer %q", answer.Start), false
	}
	description = strings.Fields(answer.Start)[1]
	for _, name := range c.shown {
		if name, ok := strings.CutPrefix(name, "< "); ok {
			description += fmt.Sprintf(" %s=%q", name, answer.value(name))
		}
	}
	return description, !strings.Contains(strings.ToLower(answer.value("Connection")), "close") && answer.Framing != "close"
}

// describe lists the requests that arrived, and their services.
func (c hostileCase) describe(w *way, arrived []arrival) string {
	out := ""
	for _, a := range arrived {
		place := a.service
		if w.side == "" {
			place = "backend"
		} else if a.side != w.side {
			place += "." + string(a.side)
		}
		out += fmt.Sprintf("; %s: %s", place, short(a.Start))
		// Whether chunks to old stay chunks depends on the timing.
		switch a.Framing {
		case "length", "chunked":
			out += fmt.Sprintf(" %q", a.Body)
		case "unfinished":
			out += " unfinished"
		}
		for _, name := range c.shown {
			if !strings.HasPrefix(name, "< ") {
				out += fmt.Sprintf(" %s=%q", name, strings.ReplaceAll(strings.Join(a.values(name), " | "), w.address, "US"))
			}
		}
	}
	return out
}

func short(text string) string {
	text = strings.Trim(strconv.QuoteToASCII(text), `"`)
	if len(text) <= 120 {
		return text
	}
	return fmt.Sprintf("%s... (%d bytes)", text[:40], len(text))
}
