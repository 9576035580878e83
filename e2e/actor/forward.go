package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"sync/atomic"
	"time"
)

// replayable is the maximum size of a body, in bytes, that is kept in memory so that
// it can be sent again.
const replayable = 1 << 20

// forwarder sends requests to endpoints in turn. After a failed connect it tries
// another endpoint. A GET or HEAD whose kept connection ends before the answer begins
// is sent again (by http.Transport), as ingress-nginx does. Only clients without a
// controller therefore see a request that the proxy loses in this way.
type forwarder struct {
	turn      atomic.Uint64
	headers   func(in *http.Request, out http.Header)
	transport *http.Transport
	proxy     *httputil.ReverseProxy
}

type (
	endpointsKey struct{}
	schemeKey    struct{}
)

// newForwarder makes a forwarder that sets the headers of a persona.
func newForwarder(headers func(in *http.Request, out http.Header)) *forwarder {
	f := &forwarder{headers: headers, transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   128,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		DisableCompression:    true,
		TLSClientConfig:       &tls.Config{InsecureSkipVerify: true}, // as common controllers: of backends they check nothing
	}}
	f.proxy = &httputil.ReverseProxy{
		Rewrite: f.rewrite, Transport: f, FlushInterval: -1,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelError),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			refuse(w, r, http.StatusBadGateway, err.Error())
		},
	}
	return f
}

// rewrite keeps the Host and sets the headers.
func (f *forwarder) rewrite(request *httputil.ProxyRequest) {
	request.Out.URL.Scheme, _ = request.In.Context().Value(schemeKey{}).(string)
	request.Out.Host = request.In.Host
	f.headers(request.In, request.Out.Header)
}

func (f *forwarder) to(scheme string, endpoints []netip.AddrPort, w http.ResponseWriter, r *http.Request) {
	ctx := context.WithValue(context.WithValue(r.Context(), endpointsKey{}, endpoints), schemeKey{}, scheme)
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

// RoundTrip tries the endpoints in turn until one accepts a connection.
func (f *forwarder) RoundTrip(request *http.Request) (*http.Response, error) {
	endpoints, _ := request.Context().Value(endpointsKey{}).([]netip.AddrPort)
	first := f.turn.Add(1)
	err := errors.New("no endpoint")
	for i := range endpoints {
		endpoint := endpoints[(first+uint64(i))%uint64(len(endpoints))]
		attempt := request.Clone(request.Context())
		attempt.URL.Host = endpoint.String()
		if request.GetBody != nil {
			attempt.Body, _ = request.GetBody() // a copy in memory
		} else if request.Body != nil {
			attempt.Body = io.NopCloser(request.Body) // a failed dial must not close it
		}
		var answer *http.Response
		answer, err = f.transport.RoundTrip(attempt)
		if err == nil || !neverSent(err) {
			return answer, err
		}
	}
	return nil, err
}

func neverSent(err error) bool {
	var failed *net.OpError
	return errors.As(err, &failed) && failed.Op == "dial"
}

// closeIdle closes idle connections: a removed endpoint would close them just when the
// next request is sent.
func (f *forwarder) closeIdle() { f.transport.CloseIdleConnections() }
