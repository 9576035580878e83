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

// asker is one keep-alive client of one service.
type asker struct {
	port   int
	host   string
	conn   net.Conn // nil until opened
	reader *bufio.Reader
}

// side asks once, and tells which backend answered: "old" or "new".
func (a *asker) side() (string, error) {
	if a.conn == nil {
		conn, err := net.Dial("tcp", loopback(a.port))
		if err != nil {
			return "", err
		}
		a.conn, a.reader = conn, bufio.NewReader(conn)
	}
	if err := a.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(a.conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", a.host); err != nil {
		return "", err
	}
	answer, err := http.ReadResponse(a.reader, nil)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d: %w", answer.StatusCode, err)
	}
	if answer.Close {
		a.close()
	}
	return strings.TrimSpace(string(body)), nil
}

func (a *asker) close() {
	if a.conn != nil {
		_ = a.conn.Close() // nothing is under way
	}
	a.conn = nil
}

// await asks about 5,000 times a second until the side answers, and gives the
// moment when it did.
func (a *asker) await(ctx context.Context, side string) (time.Time, error) {
	deadline := time.Now().Add(time.Minute)
	for {
		got, err := a.side()
		now := time.Now()
		switch {
		case err != nil:
			return now, fmt.Errorf("ask %s: %w", a.host, err)
		case got == side:
			return now, nil
		case now.After(deadline):
			return now, fmt.Errorf("after a minute %s still answers by %s instead of %s", a.host, got, side)
		}
		if err := pause(ctx, 200*time.Microsecond); err != nil {
			return now, err
		}
	}
}
