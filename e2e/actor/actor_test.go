package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

func sprint(value any) string { return fmt.Sprint(value) }

// everySecond starts a backend that answers a request and resets the connection at the
// next one, which comes on a used connection.
func everySecond(t *testing.T) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(testbed.BackendHeader, "new")
		if asked.Add(1)%2 == 0 {
			testbed.Do("reset").ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), asked
}

// call posts JSON, or sends a GET if the body is nil, and decodes the answer.
func call[A any](t *testing.T, server, path string, content any) A {
	t.Helper()
	var answer A
	method, body := http.MethodGet, []byte(nil)
	if content != nil {
		method = http.MethodPost
		body, _ = json.Marshal(content)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, server+path, bytes.NewReader(body))
	require.NoError(t, err)
	got, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer got.Body.Close()
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.NoError(t, json.NewDecoder(got.Body).Decode(&answer))
	return answer
}

// newActors starts a backend and a traffic actor for it, and gives the URLs of their
// control ports.
func newActors(t *testing.T) (control, clients string) {
	t.Helper()
	b := newBackend("old")
	serving := httptest.NewServer(b)
	mux := http.NewServeMux()
	b.register(mux)
	target, err := url.Parse(serving.URL)
	require.NoError(t, err)
	trafficMux := http.NewServeMux()
	(&traffic{target: target.Host, loads: map[string]*load{}}).register(t.Context(), trafficMux)
	controlServer, trafficServer := httptest.NewServer(mux), httptest.NewServer(trafficMux)
	t.Cleanup(func() { serving.Close(); controlServer.Close(); trafficServer.Close() })
	return controlServer.URL, trafficServer.URL
}

func TestTrafficCounts(t *testing.T) {
	t.Parallel()
	control, clients := newActors(t)
	load := wire.Load{Host: "shop.example.com", Path: "/a", Requests: 50, Connections: 4, Header: map[string]string{"X-A": "1"}}
	report := call[wire.Report](t, clients, wire.PathRun, load)
	require.Equal(t, 50, report.Sent)
	require.Equal(t, map[string]int{"old": 50}, report.Sides)
	require.Zero(t, report.Failed)
	counts := call[wire.Counts](t, control, wire.PathCounts, nil)
	require.Equal(t, 50, counts.Paths["/a"])
	require.Equal(t, "shop.example.com", counts.Last.Host)
	require.Equal(t, []string{"1"}, counts.Last.Header["X-A"])
}

// TestTrafficHidesNothing checks that each lost request counts, also a GET on a used
// connection, and each answer that no backend gave.
func TestTrafficHidesNothing(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		target, asked := everySecond(t)
		lossy := begin(t.Context(), target, wire.Load{Host: "x", Path: "/", Method: method, Requests: 6})
		lossy.wait()
		require.Equal(t, 3, lossy.report().Failed, method)
		require.Equal(t, 6, int(asked.Load()), method)
	}
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	lost := begin(t.Context(), stranger.Listener.Addr().String(), wire.Load{Host: "x", Path: "/", Requests: 2})
	lost.wait()
	require.Equal(t, 2, lost.report().Failed)
	require.Contains(t, lost.report().Failures[0], "status 404, and no backend answered")
}

// TestForwarderRepeats checks that a GET on a used connection is repeated, as
// ingress-nginx does, and a POST is not.
func TestForwarderRepeats(t *testing.T) {
	t.Parallel()
	for method, lost := range map[string]int{http.MethodGet: 0, http.MethodHead: 0, http.MethodPost: 3} {
		target, asked := everySecond(t)
		f := newForwarder(plainHeaders)
		failed := 0
		for range 6 {
			answer := httptest.NewRecorder()
			f.to("http", []netip.AddrPort{netip.MustParseAddrPort(target)}, answer, httptest.NewRequest(method, "http://shop.example.com/", nil))
			if answer.Code == http.StatusBadGateway {
				failed++
			}
		}
		require.Equal(t, lost, failed, method)
		require.Equal(t, lost == 0, asked.Load() > 6, method)
	}
}

func TestTrafficSeesEveryOutage(t *testing.T) {
	t.Parallel()
	control, clients := newActors(t)
	load := wire.Load{Host: "shop.example.com", Path: "/", Method: http.MethodPost, Body: "x", Requests: 5}
	for _, outage := range []wire.Outage{{Mode: wire.Status, Status: 503}, {Mode: wire.Reset}} {
		call[wire.Outage](t, control, wire.PathOutage, outage)
		report := call[wire.Report](t, clients, wire.PathRun, load)
		require.Equal(t, 5, report.Failed, outage)
		require.Len(t, report.Failures, 5)
	}
	call[wire.Outage](t, control, wire.PathOutage, wire.Outage{})
	require.Zero(t, call[wire.Report](t, clients, wire.PathRun, load).Failed)
}

func TestTrafficGoesOnUntilItIsStopped(t *testing.T) {
	t.Parallel()
	_, clients := newActors(t)
	call[wire.Report](t, clients, wire.PathStart, wire.Load{Name: "a", Host: "x", Path: "/", Rate: 500})
	require.Eventually(t, func() bool {
		return call[wire.Report](t, clients, wire.PathWatch+"?name=a", nil).Sent > 10
	}, time.Minute, 5*time.Millisecond)
	report := call[wire.Report](t, clients, wire.PathStop+"?name=a", struct{}{})
	require.Zero(t, report.Failed)
	require.False(t, report.Last["old"].Before(report.First["old"]))
}

func TestBackendRefuses(t *testing.T) {
	t.Parallel()
	b := newBackend("new")
	var err error
	b.tls, err = selfSigned()
	require.NoError(t, err)
	free, err := net.Listen("tcp", ":0")
	require.NoError(t, err)
	b.port = free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	go func() { _ = b.serve(t.Context()) }()
	address := fmt.Sprintf("127.0.0.1:%d", b.port)
	listens := func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}
	require.Eventually(t, listens, time.Minute, time.Millisecond)
	for _, mode := range []string{wire.Refuse, wire.Healthy, wire.Refuse, wire.Healthy} {
		_, err := b.setOutage(t.Context(), wire.Outage{Mode: mode})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return listens() == (mode == wire.Healthy) }, time.Minute, time.Millisecond)
	}
}

// TestForwarderTriesAnother has one endpoint that refuses connections: no request may
// fail, whatever its method.
func TestForwarderTriesAnother(t *testing.T) {
	t.Parallel()
	b := newBackend("old")
	alive := httptest.NewServer(b)
	defer alive.Close()
	gone := httptest.NewServer(b)
	endpoints := []netip.AddrPort{
		netip.MustParseAddrPort(gone.Listener.Addr().String()), netip.MustParseAddrPort(alive.Listener.Addr().String()),
	}
	gone.Close()
	f := newForwarder(plainHeaders)
	for range 6 {
		for _, body := range []string{"", "text"} {
			answer := httptest.NewRecorder()
			request := httptest.NewRequest(http.MethodPost, "http://shop.example.com/x?y", bytes.NewReader([]byte(body)))
			request.Header.Set("X-Forwarded-For", "6.6.6.6")
			f.to("http", endpoints, answer, request)
			require.Equal(t, http.StatusOK, answer.Code)
			got := b.counted().Last
			require.Equal(t, "shop.example.com", got.Host)
			require.Equal(t, "/x?y", got.Target)
			require.Equal(t, []string{"192.0.2.1"}, got.Header["X-Forwarded-For"])
			require.Equal(t, []string{"http"}, got.Header["X-Forwarded-Proto"])
		}
	}
	f.to("http", endpoints[:1], httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://shop.example.com/", nil))
}

func TestActorRefusesWrongUsage(t *testing.T) {
	t.Parallel()
	require.Equal(t, 2, run(nil))
	require.Equal(t, 2, run([]string{"director"}))
	require.Equal(t, 1, run([]string{"backend", "--nonsense"}))
	require.Equal(t, 1, run([]string{"traffic", "surplus"}))
}
