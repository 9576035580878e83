package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// client sends requests to one service over one keep-alive connection.
type client struct {
	port   int
	host   string
	conn   net.Conn // nil when there is no connection
	reader *bufio.Reader
}

// side sends one request and gives the backend that answered: "old" or "new".
func (c *client) side() (string, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", loopback(c.port))
		if err != nil {
			return "", err
		}
		c.conn, c.reader = conn, bufio.NewReader(conn)
	}
	if err := c.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", c.host); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %w", answer.StatusCode, err)
	}
	if answer.Close {
		c.close()
	}
	return strings.TrimSpace(string(body)), nil
}

func (c *client) close() {
	if c.conn != nil {
		_ = c.conn.Close() // no request is in flight
	}
	c.conn = nil
}

// waitFor sends about 5,000 requests a second until the side answers, and gives
// the time of that answer.
func (c *client) waitFor(ctx context.Context, side string) (time.Time, error) {
	deadline := time.Now().Add(time.Minute)
	for {
		got, err := c.side()
		now := time.Now()
		switch {
		case err != nil:
			return now, fmt.Errorf("request to %s: %w", c.host, err)
		case got == side:
			return now, nil
		case now.After(deadline):
			return now, fmt.Errorf("after a minute %s still gets answers of %s instead of %s", c.host, got, side)
		}
		if err := pause(ctx, 200*time.Microsecond); err != nil {
			return now, err
		}
	}
}
