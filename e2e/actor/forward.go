package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/netip"
	"sync/atomic"
	"time"
)

// replayable is how long a body may be, in bytes, to be kept for the case that
// an idle connection turns out to be closed.
const replayable = 1 << 20

// forwarder sends requests to endpoints in turn. Only what has certainly not
// been sent is tried again, so that no loss behind it is hidden.
type forwarder struct {
	turn      atomic.Uint64
	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

type endpointsKey struct{}

func newForwarder() *forwarder {
	f := &forwarder{transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: time.Second}).DialContext,
		MaxIdleConnsPerHost:   128,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		DisableCompression:    true,
	}}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: rewrite, Transport: f, FlushInterval: -1,
		ErrorLog: log.Default(),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, r, http.StatusBadGateway, err.Error())
		},
	}
	return f
}

// rewrite keeps the Host and says whom the request came from; what the client
// says about that counts for nothing.
func rewrite(request *httputil.ProxyRequest) {
	request.Out.URL.Scheme = "http"
	request.Out.Host = request.In.Host
	request.SetXForwarded()
	if address, _, err := net.SplitHostPort(request.In.RemoteAddr); err == nil {
		request.Out.Header.Set("X-Real-IP", address)
	}
}

func (f *forwarder) to(endpoints []netip.AddrPort, w http.ResponseWriter, r *http.Request) {
	ctx := context.WithValue(r.Context(), endpointsKey{}, endpoints)
	if r.ContentLength > 0 && r.ContentLength <= replayable {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			refuse(w, r, http.StatusBadRequest, "read the body: "+err.Error())
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	f.proxy.ServeHTTP(w, r.WithContext(ctx))
}

// RoundTrip tries the endpoints in turn until the request is on its way.
func (f *forwarder) RoundTrip(request *http.Request) (*http.Response, error) {
	endpoints, _ := request.Context().Value(endpointsKey{}).([]netip.AddrPort)
	first := f.turn.Add(1)
	err := errors.New("no endpoint")
	for i := range endpoints {
		var sent atomic.Bool
		attempt := request.Clone(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
			WroteHeaders: func() { sent.Store(true) },
		}))
		attempt.URL.Host = endpoints[(first+uint64(i))%uint64(len(endpoints))].String()
		attempt.Body = bodyFor(request)
		var answer *http.Response
		answer, err = f.transport.RoundTrip(attempt)
		if err == nil || sent.Load() {
			return answer, err
		}
	}
	return nil, err
}

// bodyFor gives what one attempt may read and close. http.Transport sends a
// GET or HEAD again after a lost connection, unless it has a body that cannot
// be had twice: an empty one says nothing on the wire.
func bodyFor(request *http.Request) io.ReadCloser {
	switch {
	case request.GetBody != nil:
		body, _ := request.GetBody() // a copy in memory
		return body
	case request.Body != nil:
		return io.NopCloser(request.Body)
	case request.Method == http.MethodGet || request.Method == http.MethodHead:
		return io.NopCloser(http.NoBody)
	}
	return nil
}

// closeIdle forgets connections that nobody uses: those to a vanished endpoint
// would be closed by it just when the next request is sent.
func (f *forwarder) closeIdle() { f.transport.CloseIdleConnections() }
