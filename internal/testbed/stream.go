package testbed

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gorilla/websocket"
)

// pace is the time between two parts of a stream.
const pace = 20 * time.Millisecond

func drain(r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }

func closeUnanswered(_ http.ResponseWriter, r *http.Request, _ string) {
	drain(r)
	panic(http.ErrAbortHandler) // net/http closes the connection without an answer
}

func reset(w http.ResponseWriter, r *http.Request, _ string) { resetAfter(w, r, "") }

func resetMidBody(w http.ResponseWriter, r *http.Request, _ string) {
	resetAfter(w, r, "HTTP/1.1 200 OK\r\n"+BackendHeader+": "+w.Header().Get(BackendHeader)+
		"\r\nContent-Length: 1000\r\n\r\nhalf of it")
}

// resetAfter sends the text and then a TCP reset, which closing a connection with a
// linger time of zero causes.
func resetAfter(w http.ResponseWriter, r *http.Request, text string) {
	drain(r)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(conn, text)
	raw := conn
	if secure, ok := conn.(*tls.Conn); ok {
		raw = secure.NetConn()
	}
	_ = raw.(interface{ SetLinger(seconds int) error }).SetLinger(0)
	_ = raw.Close()
}

// hang ends when the client disconnects or the backend is killed. It has to read the
// body first, because otherwise net/http does not notice that the client disconnects.
func hang(_ http.ResponseWriter, r *http.Request, _ string) {
	drain(r)
	<-r.Context().Done()
	panic(http.ErrAbortHandler)
}

func slow(w http.ResponseWriter, r *http.Request, argument string) {
	drain(r)
	w.Header().Set("Content-Type", "text/plain")
	stream(w, r, number(argument, 5), "chunk %d\n")
}

func serverSentEvents(w http.ResponseWriter, r *http.Request, argument string) {
	drain(r)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	stream(w, r, number(argument, 5), "data: %d\n\n")
}

func stream(w http.ResponseWriter, r *http.Request, pieces int, format string) {
	ticker := time.NewTicker(pace)
	defer ticker.Stop()
	for i := range pieces {
		if _, err := fmt.Fprintf(w, format, i); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

func websocketEcho(w http.ResponseWriter, r *http.Request, _ string) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	header := http.Header{BackendHeader: {w.Header().Get(BackendHeader)}}
	conn, err := upgrader.Upgrade(w, r, header)
	if err != nil {
		return // Upgrade has answered
	}
	defer conn.Close()
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if conn.WriteMessage(kind, message) != nil {
			return
		}
	}
}
