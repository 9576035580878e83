package behaviour

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

// witness is all backends of one way, which keep what they get in one list.
type witness struct {
	mu      sync.Mutex
	answer  string
	arrived []arrival
}

// begin sets the answer to what comes next, and tells how many came before.
func (w *witness) begin(answer string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if answer == "" {
		answer = plainAnswer
	}
	w.answer = answer
	return len(w.arrived)
}

// since gives what arrived.
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
		place := w.begun(a)
		if tooLong(a.message) {
			_, _ = io.Copy(io.Discard, reader) // until the client has gone
			return
		}
		if a.readBody(reader, true) != nil {
			return
		}
		answer := w.ended(place, a)
		if strings.HasPrefix(a.Start, "HEAD ") {
			answer, _, _ = strings.Cut(answer, "\r\n\r\n")
			answer += "\r\n\r\n"
		}
		if _, err := io.WriteString(conn, answer); err != nil || !staysOpen(a.message, answer) {
			return
		}
	}
}

// tooLong are bodies that are announced and never come.
func tooLong(m message) bool { return len(m.value("Content-Length")) > 7 }

// begun keeps a request of which the head is there.
func (w *witness) begun(a arrival) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	a.Framing = "unfinished"
	w.arrived = append(w.arrived, a)
	return len(w.arrived) - 1
}

// ended keeps the whole of it, and gives the answer.
func (w *witness) ended(place int, a arrival) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrived[place] = a
	return w.answer
}

func awaitListener(t *testing.T, address string) {
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, patience, quick)
}
