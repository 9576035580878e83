package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/spf13/cobra"
)

const (
	// askTimeout bounds one question; a proxy answers from memory.
	askTimeout = 3 * time.Second
	// statusLimit is far above the status of ten thousand services.
	statusLimit = 64 << 20
)

// direct goes by no $HTTP_PROXY: that one knows the world outside, and not the
// pods and machines that proxies run on.
var direct = &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext}}

// proxyClient asks one proxy's HTTP API.
type proxyClient struct{ address string }

func (c *proxyClient) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.address, "http", "localhost:8080", "HTTP address of the proxy")
	environmentOf(cmd.Flags(), "http")
}

// status gives the answer as a document and as it was sent.
func (c *proxyClient) status(ctx context.Context) (status.Status, []byte, error) {
	var document status.Status
	text, err := c.get(ctx, "/status")
	if err != nil {
		return document, nil, err
	}
	if err := json.Unmarshal(text, &document); err != nil || document.StartedAt.IsZero() {
		return document, nil, fmt.Errorf("%s answers, but not with a proxy's status; name the proxy's address with --http", c.host())
	}
	return document, text, nil
}

func (c *proxyClient) get(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	target := url.URL{Scheme: "http", Host: c.host(), Path: path}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, wrongUsage("--http %q: write HOST:PORT", c.address)
	}
	response, err := direct.Do(request)
	if err != nil {
		return nil, fmt.Errorf("no proxy answers: %w; start one with 'migration-proxy run', or name its address with --http", err)
	}
	defer func() { _ = response.Body.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(response.Body, statusLimit))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", target.String(), err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s: is this a migration proxy?", target.String(), response.Status)
	}
	return text, nil
}

// host makes an address to call of one to listen on: ":8080" is this machine.
func (c *proxyClient) host() string {
	if host, port, err := net.SplitHostPort(c.address); err == nil && host == "" {
		return net.JoinHostPort("localhost", port)
	}
	return c.address
}
