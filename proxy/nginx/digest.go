package nginx

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// requiredAnswers is how many answers in a row must have the new digest. Each
// answer is a new connection, which any worker that still listens may accept,
// also an old one.
const requiredAnswers = 5

// Digest returns the digest of the config that nginx serves.
func (n *Nginx) Digest(ctx context.Context) (string, error) {
	status, text, err := n.askAdmin(ctx, "/digest")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return "", fmt.Errorf("read the digest from nginx: %w", err)
	}
	return strings.TrimSpace(text), nil
}

// Side asks nginx for the side of the requests of a service in a bucket.
func (n *Nginx) Side(ctx context.Context, service migration.Name, bucket migration.Bucket) (migration.Side, error) {
	status, _, err := n.askAdmin(ctx, fmt.Sprintf("/side/%s/bucket/%d/%d", service, bucket.High(), bucket.Low()))
	switch {
	case err != nil:
		return "", fmt.Errorf("ask nginx for the side of a bucket: %w", err)
	case status == http.StatusOK:
		return migration.New, nil
	case status == http.StatusNotFound:
		return migration.Old, nil
	}
	return "", fmt.Errorf("ask nginx for the side of a bucket: status %d", status)
}

// ErrNoConnection is the cause when a worker has nothing left for a request.
var ErrNoConnection = errors.New("all connections of a worker are taken, or all its memory")

// Hop asks nginx for something that it asks itself for, so that it needs a second
// connection, as for traffic. Its error is an ErrNoConnection if there is none.
func (n *Nginx) Hop(ctx context.Context) error {
	// 404 is the answer of a config that an earlier version made.
	if _, _, err := n.askAdmin(ctx, "/hop"); err != nil {
		return fmt.Errorf("ask nginx for a second connection: %w", err)
	}
	return nil
}

// askAdmin asks on the socket that only this machine can reach. The agent asks a dozen times
// a second: an http.Transport would start two goroutines for each.
func (n *Nginx) askAdmin(ctx context.Context, path string) (status int, text string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", n.path("admin.sock"))
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n", path); err != nil {
		return 0, "", causeOf(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, "", causeOf(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusInternalServerError {
		return 0, "", fmt.Errorf("status %d: %w", response.StatusCode, ErrNoConnection)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	return response.StatusCode, string(body), err
}

// causeOf adds what it means when nginx accepts a connection and ends it at once.
func causeOf(err error) error {
	for _, ended := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNRESET} {
		if errors.Is(err, ended) {
			return fmt.Errorf("%w: %w", err, ErrNoConnection)
		}
	}
	return err
}

// ErrNotServed is the cause when nginx did not take a config in time.
var ErrNotServed = errors.New("not served in time")

// AwaitDigest waits until nginx serves only the config with this digest. When
// ctx ends first, or nginx refuses the config, the error is an ErrNotServed that says what
// nginx serves instead.
func (s *Supervisor) AwaitDigest(ctx context.Context, want string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := ""
	for inARow := 0; ; {
		got, err := s.nginx.Digest(ctx)
		if inARow++; got != want {
			inARow = 0
		}
		if err == nil {
			last = got
		}
		switch {
		case inARow == requiredAnswers:
			return nil
		case inARow == 0 && s.refused():
			return notServed(want, last, err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return notServed(want, last, err)
		}
	}
}

func notServed(want, got string, err error) error {
	if got != "" {
		return fmt.Errorf("nginx still serves config %s instead of %s: %w", got, want, ErrNotServed)
	}
	return fmt.Errorf("nginx does not serve config %s: %w: %w", want, ErrNotServed, err)
}
