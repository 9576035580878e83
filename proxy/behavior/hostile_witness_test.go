package behavior

import (
	"bufio"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// arrival is a request that a backend got.
type arrival struct {
	message
	service string
	side    migration.Side
}

// witness has all backends of one way, and the list of the requests they got.
type witness struct {
	mu      sync.Mutex
	answer  string
	arrived []arrival
}

// begin sets the answer to the next requests, and returns how many there were
// before.
func (w *witness) begin(answer string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if answer == "" {
		answer = plainAnswer
	}
	w.answer = answer
	return len(w.arrived)
}

// since returns the requests after the first ones.
func (w *witness) since(before int) []arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.arrived[before:])
}

func (w *witness) backend(t *testing.T, service string, side migration.Side) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(conn, arrival{service: service, side: side})
		}
	}()
	return listener.Addr().String()
}

func (w *witness) serve(conn net.Conn, a arrival) {
	defer func() { _ = conn.Close() }()
	reader := bufio.NewReader(conn)
	for {
		var err error
		if a.message, err = readHead(reader); err != nil {
			return
		}
		if strings.HasPrefix(a.Start, "GET /sentinel ") {
			_, _ = io.WriteString(conn, "HTTP/1.1 299 In Step\r\nContent-Length: 0\r\n\r\n")
			continue
		}
		index := w.addUnfinished(a)
		if neverComplete(a.message) {
			_, _ = io.Copy(io.Discard, reader) // until the client closes
			return
		}
		if a.readBody(reader, true) != nil {
			return
		}
		answer := w.finish(index, a)
		if strings.HasPrefix(a.Start, "HEAD ") {
			answer, _, _ = strings.Cut(answer, "\r\n\r\n")
			answer += "\r\n\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil || !staysOpen(a.message, answer) {
			return
		}
	}
}

// neverComplete: some cases declare a long body and do not send it.
func neverComplete(m message) bool { return len(m.value("Content-Length")) > 7 }

// addUnfinished keeps a request whose body is not yet read.
func (w *witness) addUnfinished(a arrival) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.Framing = "unfinished"
	w.arrived = append(w.arrived, a)
	return len(w.arrived) - 1
}

// finish keeps the complete request, and returns the answer.
func (w *witness) finish(index int, a arrival) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived[index] = a
	return w.answer
}
