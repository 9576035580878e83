// Package oneproxy asks one proxy that the user names by its address (--http),
// without a cluster.
//
// Takes:
//   - an address as the proxy listens on it (":8080") or as it is called
//     ("10.0.0.7:8080")
//
// Gives:
//   - its status within three seconds
//
// Refuses:
//   - what is no address, and what is no proxy; the error says what to do
package oneproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/proxyclient"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// Timeout is how long a request may take. A proxy answers from memory.
const Timeout = 3 * time.Second

// Proxy is one proxy at one address.
type Proxy struct {
	address string // host:port
	client  *proxyclient.Client
}

// New is the proxy at an address. It sends no request. ":8080" is port 8080 of
// this machine.
func New(address string) (Proxy, error) {
	if err := proxyclient.CheckAddress(address); err != nil {
		return Proxy{}, err
	}
	if host, port, err := net.SplitHostPort(address); err == nil && host == "" {
		address = net.JoinHostPort("localhost", port)
	}
	return Proxy{address: address, client: proxyclient.New()}, nil
}

// Address is the host:port that requests go to.
func (p Proxy) Address() string { return p.address }

// Document reads another document.
func (p Proxy) Document(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return p.client.Get(ctx, p.address, path)
}

// Status reads the status, as a document and as it was sent.
func (p Proxy) Status(ctx context.Context) (status.Status, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	document, text, err := p.client.Status(ctx, p.address)
	switch {
	case err == nil:
		return document, text, nil
	case errors.Is(err, proxyclient.ErrNotAStatus):
		return document, nil, fmt.Errorf("%s answers, but not with a proxy's status; name the proxy's address with --http", p.address)
	case errors.As(err, new(proxyclient.AnswerError)):
		return document, nil, fmt.Errorf("%w: is this a migration proxy?", err)
	}
	return document, nil, fmt.Errorf("no proxy answers: %w; start one with 'migration-proxy run', or name its address with --http", err)
}
