package behaviour

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

// hostilePage is one file below testdata/hostile: text, and cases like
//
//	== name
//	# why it is here
//	> a line of the request, with its CR LF; \x00, \r, \n and {A*33000} as they say
//	| the same without CR LF
//	< a line of the backend's answer
//	% 2 requests     as many requests are meant (1); "waits": the client ends
//	                 before the request does; "trusted": we are a trusted proxy
//	? X-Real-IP      show this header of the request; "< Location" of the answer
//	! reason         why we differ from plain nginx, see differs
//	= what came of it, and "= WAY: what came of it" where ways differ
//
// The last ones are written by the test with -update, and are those of nginx
// 1.22.
type hostilePage struct {
	head  string
	cases []hostileCase
}

type hostileCase struct {
	name            string
	lines           []string // as in the file, without those with =
	request, answer string
	requests        int
	waits, trusted  bool
	shown           []string
	reasons         []string
	wanted          []string          // as in the file
	outcomes        map[string]string // as it was, by way.label
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
			c.shown = append(c.shown, rest)
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

// expand undoes the file's escapes.
func expand(t *testing.T, text string) string {
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	require.NoError(t, err)
	return repeated.ReplaceAllStringFunc(text, func(found string) string {
		part := repeated.FindStringSubmatch(found)
		n, _ := strconv.Atoi(part[2])
		return strings.Repeat(part[1], n)
	})
}

// String is the page as its file has it, with what came of each case.
func (p hostilePage) String() string {
	out := strings.TrimRight(p.head, "\n") + "\n"
	for _, c := range p.cases {
		out += "\n== " + c.name + "\n" + strings.Join(c.lines, "\n") + "\n" + c.results()
	}
	return out
}

func (c hostileCase) results() string {
	zero, full := c.outcomes["0 %"], c.outcomes["100 %"]
	if zero == full && zero == c.outcomes["plain"] {
		return "= " + zero + "\n"
	}
	ours := "= 0 %: " + zero + "\n= 100 %: " + full + "\n"
	if zero == full {
		ours = "= ours: " + zero + "\n"
	}
	return ours + "= plain: " + c.outcomes["plain"] + "\n"
}

var (
	readableStart  = regexp.MustCompile(`\A[A-Z]+ (/[!-~]*) HTTP/1\.[01]\r\n`)
	readableHeader = regexp.MustCompile(`\A([A-Za-z0-9_-]+): ?([ -~]*)\z`)
)

// readable takes apart a single request that leaves no doubt what it asks
// for, to ask explain.
func (c hostileCase) readable() (request migration.Request, forwardedFor string, ok bool) {
	head, _, ended := strings.Cut(c.request, "\r\n\r\n")
	start := readableStart.FindStringSubmatch(head + "\r\n")
	if start == nil || !ended || c.requests != 1 {
		return request, "", false
	}
	request = migration.Request{Target: start[1], Header: map[string]string{}, Dice: "any"}
	hosts := 0
	for _, line := range strings.Split(head, "\r\n")[1:] {
		part := readableHeader.FindStringSubmatch(line)
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

// isWanted tells whether the file says that this arrives.
func (c hostileCase) isWanted(w *way, arrived string) bool {
	return slices.ContainsFunc(c.wanted, func(line string) bool {
		who, _, named := strings.Cut(line, ": ")
		theirs := who == w.label || who == "ours" && w.side != ""
		return strings.HasSuffix(line, " closed"+arrived) && (theirs || !named || strings.Contains(who, " closed"))
	})
}

// sentinel asks, on the connection of a case, whether it is still in step.
const sentinel = "GET /sentinel HTTP/1.1\r\nHost: shop.example.com\r\nConnection: close\r\n\r\n"

// exchange sends the request and says what the client got: the statuses, and
// whether the connection then still served the next request.
func (c hostileCase) exchange(t *testing.T, w *way, before int) string {
	l := dial(t, w.address)
	require.NoError(t, l.SetDeadline(time.Now().Add(patience/2)))
	sent := make(chan struct{})
	go func() { defer close(sent); _, _ = io.WriteString(l.Conn, c.request) }()
	if c.waits {
		<-sent
		// A part of it may be under way to a backend, see "streamed to old".
		for deadline := time.Now().Add(time.Second); !c.isWanted(w, c.describe(w, w.witness.since(before))) && time.Now().Before(deadline); {
			time.Sleep(quick)
		}
		require.NoError(t, l.Conn.(*net.TCPConn).CloseWrite())
	}
	var got []string
	for range c.requests {
		said, open := c.readOne(l)
		got = append(got, said)
		if said == "101" {
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

// readOne reads one answer. open tells whether another may follow.
func (c hostileCase) readOne(l *line) (said string, open bool) {
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
	said = strings.Fields(answer.Start)[1]
	for _, name := range c.shown {
		if name, ok := strings.CutPrefix(name, "< "); ok {
			said += fmt.Sprintf(" %s=%q", name, answer.value(name))
		}
	}
	return said, !strings.Contains(strings.ToLower(answer.value("Connection")), "close") && answer.Framing != "close"
}

// describe says what arrived where.
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
		// Whether chunks stay chunks towards old depends on when they come.
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
