package testbed

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

const (
	defaultTimeout = 10 * time.Second
	// refusedPause keeps clients whose connection is refused from spinning.
	refusedPause = 10 * time.Millisecond
)

// connection is the keep-alive connection of one client. It does not use net/http's
// client, which repeats lost requests and so hides them.
type connection struct {
	run    *run
	conn   net.Conn // nil when there is no connection
	raw    *net.TCPConn
	reader *bufio.Reader
	writer *bufio.Writer
	opened int
}

// send sends request number n and reads its answer to the end.
func (c *connection) send(number int) Answer {
	request, err := c.run.load.request(number)
	if err != nil {
		return Answer{Err: err}
	}
	deadline := time.Now().Add(c.timeout())
	opened := c.opened
	if err := c.open(deadline); err != nil {
		time.Sleep(refusedPause)
		return Answer{Err: withoutAddress(err)}
	}
	answer, keep := c.exchange(request)
	if !keep {
		c.close()
	}
	var ended noAnswer
	if c.run.load.Reopen && opened == c.opened && errors.As(answer.Err, &ended) {
		answer = c.send(number) // on a new connection, so not a third time
		answer.Reopened = true
	}
	return answer
}

// noAnswer is the error of a connection that ended without a byte of an answer.
type noAnswer struct{ error }

// unanswered is for an error before the first byte. After a timeout the connection has
// not ended: the server may still have the request.
func unanswered(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return withoutAddress(err)
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return noAnswer{withoutAddress(err)}
}

func (e noAnswer) Unwrap() error { return e.error }

func (c *connection) timeout() time.Duration {
	if c.run.load.Timeout > 0 {
		return c.run.load.Timeout
	}
	return defaultTimeout
}

// open opens a connection, unless there is one that the server has not closed.
func (c *connection) open(deadline time.Time) error {
	if c.conn != nil && (c.conn.SetDeadline(deadline) != nil || closedByServer(c.raw)) {
		c.close()
	}
	if c.conn != nil {
		return nil
	}
	err := c.dial(deadline)
	if err != nil {
		c.close()
	}
	return err
}

func (c *connection) dial(deadline time.Time) error {
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.Dial("tcp", addressOf(c.run))
	if err != nil {
		return err
	}
	c.opened++
	c.conn, c.raw = conn, conn.(*net.TCPConn)
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if c.run.target.Scheme == "https" {
		secure := tls.Client(conn, c.tlsConfig())
		c.conn = secure
		if err := secure.Handshake(); err != nil {
			return err
		}
	}
	c.reader, c.writer = bufio.NewReader(c.conn), bufio.NewWriter(c.conn)
	return nil
}

func addressOf(r *run) string {
	if r.target.Port() != "" {
		return r.target.Host
	}
	return net.JoinHostPort(r.target.Hostname(), r.target.Scheme)
}

func (c *connection) tlsConfig() *tls.Config {
	config := &tls.Config{}
	if c.run.load.TLS != nil {
		config = c.run.load.TLS.Clone()
	}
	if config.ServerName == "" {
		config.ServerName = c.run.target.Hostname()
		if c.run.load.Host != "" {
			config.ServerName = hostname(c.run.load.Host)
		}
	}
	return config
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// exchange sends a request and tells whether the connection can be used again.
func (c *connection) exchange(request *http.Request) (Answer, bool) {
	if err := request.Write(c.writer); err != nil {
		return Answer{Err: unanswered(err)}, false
	}
	if err := c.writer.Flush(); err != nil {
		return Answer{Err: unanswered(err)}, false
	}
	if _, err := c.reader.Peek(1); err != nil {
		return Answer{Err: unanswered(err)}, false
	}
	response, err := c.final(request)
	if err != nil {
		return Answer{Err: withoutAddress(err)}, false
	}
	defer response.Body.Close()
	backend := response.Header.Get(BackendHeader)
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return Answer{Backend: backend, Err: withoutAddress(err)}, false
	}
	return Answer{Backend: backend, Status: response.StatusCode}, !response.Close
}

// final reads answers until one is not informational (1xx).
func (c *connection) final(request *http.Request) (*http.Response, error) {
	for {
		response, err := http.ReadResponse(c.reader, request)
		if err != nil {
			return nil, err
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, nil
		}
	}
}

// closedByServer tells, without waiting, whether the server has closed an idle
// connection or sent data without a request. All clients check this: a request that
// was never sent is not a lost one.
func closedByServer(conn *net.TCPConn) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	idle := false
	err = raw.Read(func(descriptor uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(descriptor), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		idle = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err != nil || !idle
}

// withoutAddress removes addresses and ports from network errors, so that equal
// failures have equal texts.
func withoutAddress(err error) error {
	var network *net.OpError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return fmt.Errorf("connection closed before the end of the answer: %w", err)
	case errors.As(err, &network):
		return network.Err
	}
	return err
}
