package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
)

// errSentTwice counts as a failure: Go's client sends a GET again when its
// connection breaks, which would hide that the proxy has lost a request.
var errSentTwice = errors.New("the connection broke, and the client sent the request again")

// client is an HTTP client with one keep-alive connection.
type client struct{ http http.Client }

func newClient() *client {
	return &client{http.Client{Timeout: timeout, Transport: &http.Transport{MaxConnsPerHost: 1}}}
}

func (c *client) close() { c.http.CloseIdleConnections() }

// request is one request to the proxy.
type request struct {
	proxy  string // HOST:PORT
	method string
	host   string // the host header
	path   string
	body   string
	header map[string]string
}

// send sends the request and reads the whole response. The cluster is the one
// that answered; "" if it is not known.
func (c *client) send(ctx context.Context, r request) (cluster string, status int, err error) {
	writes := 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				writes++
			}
		},
	})
	outgoing, err := http.NewRequestWithContext(ctx, r.method, "http://"+r.proxy+r.path, strings.NewReader(r.body))
	if err != nil {
		return "", 0, fmt.Errorf("make request: %w", err)
	}
	outgoing.Host = r.host
	for name, value := range r.header {
		outgoing.Header.Set(name, value)
	}
	response, err := c.http.Do(outgoing)
	if err != nil {
		return "", 0, shorten(err)
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return "", 0, shorten(err)
	}
	if writes > 1 {
		return "", 0, errSentTwice
	}
	return response.Header.Get(clusterHeader), response.StatusCode, nil
}

// shorten drops URLs and ports, so that equal failures have equal texts.
func shorten(err error) error {
	if failed := new(url.Error); errors.As(err, &failed) {
		err = failed.Err
	}
	if failed := new(net.OpError); errors.As(err, &failed) {
		err = failed.Err
	}
	return err
}
