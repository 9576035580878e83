package behavior

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is the maximum time that a test waits for anything.
const patience = 20 * time.Second

// message is a request or response as it was on the wire. net/http would hide
// what these tests check: the spelling of names, repeated and unknown headers,
// framing.
type message struct {
	Start   string   // request or status line
	Header  []string // "Name: value", in the order sent
	Framing string   // none, length, chunked or close
	Body    string   // without chunk framing
	Trailer []string
}

func (m message) values(name string) []string {
	var values []string
	for _, line := range m.Header {
		if key, value, _ := strings.Cut(line, ":"); strings.EqualFold(key, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return values
}

func (m message) value(name string) string { return strings.Join(m.values(name), " | ") }

// without drops headers and sorts the rest: the order of headers with different
// names has no meaning.
func (m message) without(names ...string) []string {
	kept := slices.DeleteFunc(slices.Clone(m.Header), func(line string) bool {
		key, _, _ := strings.Cut(line, ":")
		return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(key, name) })
	})
	slices.SortStableFunc(kept, func(a, b string) int {
		a, _, _ = strings.Cut(a, ":")
		b, _, _ = strings.Cut(b, ":")
		return strings.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	return kept
}

func readHead(from *bufio.Reader) (message, error) {
	lines, err := readLines(from)
	if err != nil || len(lines) == 0 {
		return message{}, fmt.Errorf("no head: %w", err)
	}
	return message{Start: lines[0], Header: lines[1:]}, nil
}

func readLines(from *bufio.Reader) ([]string, error) {
	var lines []string
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			return lines, err
		}
		line = strings.TrimRight(line, " \r\n") // spaces at the end have no meaning
		if line == "" {
			return lines, nil
		}
		lines = append(lines, line)
	}
}

// readBody reads the body as the head declares it. Without a declaration a
// request has no body, and a response ends with its connection.
func (m *message) readBody(from *bufio.Reader, request bool) error {
	var body []byte
	var err error
	switch length := m.value("Content-Length"); {
	case strings.EqualFold(m.value("Transfer-Encoding"), "chunked"):
		m.Framing = "chunked"
		if body, err = io.ReadAll(httputil.NewChunkedReader(from)); err == nil {
			m.Trailer, err = readLines(from)
		}
	case length != "":
		m.Framing = "length"
		n, _ := strconv.Atoi(length)
		body = make([]byte, n)
		_, err = io.ReadFull(from, body)
	case request:
		m.Framing = "none"
	default:
		m.Framing = "close"
		body, err = io.ReadAll(from)
	}
	m.Body = string(body)
	return err
}

// readAnswer reads the final response to a request with this method, and returns
// the start lines of the informational responses before it.
func readAnswer(from *bufio.Reader, method string) (answer message, informed []string, err error) {
	for {
		if answer, err = readHead(from); err != nil {
			return answer, informed, err
		}
		status := strings.Fields(answer.Start)[1]
		switch {
		case status == "101":
			return answer, informed, nil
		case status[0] == '1':
			informed = append(informed, answer.Start)
			continue
		case method == "HEAD" || status == "204" || status == "304":
			answer.Framing = "none"
			return answer, informed, nil
		}
		return answer, informed, answer.readBody(from, false)
	}
}

// wire is a backend that keeps the requests as they were on the wire, and answers
// with given bytes. The header X-Case identifies a request.
type wire struct {
	address string
	mu      sync.Mutex
	answers map[string]string
	got     map[string][]message
}

func startWire(t testing.TB) *wire {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{address: listener.Addr().String(), answers: map[string]string{}, got: map[string][]message{}}
	w.serveAll(t, listener)
	return w
}

// secure gives an address where the same backend takes TLS.
func (w *wire) secure(t testing.TB, config *tls.Config) string {
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	require.NoError(t, err)
	w.serveAll(t, listener)
	return listener.Addr().String()
}

func (w *wire) serveAll(t testing.TB, listener net.Listener) {
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
}

// serve answers requests until a request or a response ends the connection.
func (w *wire) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		request, err := readHead(reader)
		if err != nil {
			return
		}
		if request.value("Expect") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		if request.readBody(reader, true) != nil {
			return
		}
		answer := w.keep(request)
		if _, err := io.WriteString(conn, answer); err != nil || !staysOpen(request, answer) {
			return
		}
	}
}

func staysOpen(request message, answer string) bool {
	head, _, _ := strings.Cut(strings.ToLower(answer), "\r\n\r\n")
	framed := strings.Contains(head, "content-length") || strings.Contains(head, "chunked") ||
		strings.Contains(head, " 204 ") || strings.Contains(head, " 304 ")
	return framed && !strings.Contains(head, "connection: close") &&
		!strings.EqualFold(request.value("Connection"), "close") && strings.HasSuffix(request.Start, "1.1")
}

// keep keeps the request and returns its answer, in which {self} is the Host of
// the request.
func (w *wire) keep(request message) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	id := request.value("X-Case")
	w.got[id] = append(w.got[id], request)
	answer, known := w.answers[id]
	if !known {
		answer = "HTTP/1.1 599 Unknown Case\r\nContent-Length: 0\r\n\r\n"
	}
	return strings.ReplaceAll(answer, "{self}", request.value("Host"))
}

func (w *wire) answer(id, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[id] = text
}

func (w *wire) received(id string) []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.got[id])
}

// rawConn is a client connection that sends and reads raw bytes.
type rawConn struct {
	net.Conn
	reader *bufio.Reader
}

func dial(t testing.TB, to string) *rawConn {
	conn, err := net.Dial("tcp", to)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return &rawConn{conn, bufio.NewReader(conn)}
}

// sendOnce sends a request on a new connection. It may be called from any
// goroutine.
func sendOnce(to, text string) (message, error) {
	conn, err := net.Dial("tcp", to)
	if err != nil {
		return message{}, err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return message{}, err
	}
	answer, _, err := (&rawConn{conn, bufio.NewReader(conn)}).exchange(text)
	return answer, err
}

func (l *rawConn) send(t testing.TB, text string) (message, []string) {
	answer, informed, err := l.exchange(text)
	require.NoError(t, err, "%.500s", text)
	return answer, informed
}

// exchange sends the text and reads the response at the same time, because
// nginx may refuse a request before it has read all of it.
func (l *rawConn) exchange(text string) (message, []string, error) {
	go func() { _, _ = io.WriteString(l.Conn, text) }()
	method, _, _ := strings.Cut(text, " ")
	return readAnswer(l.reader, method)
}
