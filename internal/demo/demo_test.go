package demo

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func startCluster(t *testing.T, c *cluster) *cluster {
	t.Helper()
	require.NoError(t, c.start())
	t.Cleanup(c.kill)
	return c
}

func TestClusterCountsByID(t *testing.T) {
	t.Parallel()
	old := startCluster(t, &cluster{name: "old"})
	client := newClient()
	defer client.close()
	for range 2 {
		name, status, err := client.send(t.Context(), request{
			proxy: old.address, method: http.MethodPost, host: "any.example.com", path: "/", header: map[string]string{idHeader: "shop.example.com-1"},
		})
		require.NoError(t, err)
		require.Equal(t, "old", name)
		require.Equal(t, http.StatusOK, status)
	}
	require.Equal(t, 2, old.count("shop.example.com-1"))
	require.Zero(t, old.count("post-2"))
}

func TestClusterKillAndRevive(t *testing.T) {
	t.Parallel()
	old := startCluster(t, &cluster{name: "old"})
	client := newClient()
	defer client.close()
	get := request{proxy: old.address, method: http.MethodGet, host: "any.example.com", path: "/"}
	_, _, err := client.send(t.Context(), get)
	require.NoError(t, err)
	address := old.address
	old.kill()
	old.kill()
	_, _, err = client.send(t.Context(), get)
	require.Error(t, err)
	require.NotContains(t, err.Error(), address, "equal failures have equal texts")
	require.NoError(t, old.revive())
	require.Equal(t, address, old.address)
	_, _, err = client.send(t.Context(), get)
	require.NoError(t, err)
}

func TestClusterWithCertificate(t *testing.T) {
	t.Parallel()
	const host = "shop.new.example.com"
	certificate, ca, err := newCertificate(host)
	require.NoError(t, err)
	cluster := startCluster(t, &cluster{name: "new", host: host, certificate: certificate})
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(ca))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: host}}
	defer transport.CloseIdleConnections()
	for name, want := range map[string]int{host: http.StatusOK, "shop.example.com": http.StatusMisdirectedRequest} {
		request, err := http.NewRequest(http.MethodGet, cluster.url(), nil)
		require.NoError(t, err)
		request.Host = name
		response, err := transport.RoundTrip(request)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, want, response.StatusCode, name)
	}
}

// TestClientReportsARepeatedRequest: the server closes the connection without
// an answer to the second request, which Go's client then sends again.
func TestClientReportsARepeatedRequest(t *testing.T) {
	t.Parallel()
	requests := 0
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 2 {
			panic(http.ErrAbortHandler)
		}
	})}
	listener, err := listenOnFreePort()
	require.NoError(t, err)
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	client := newClient()
	defer client.close()
	get := request{proxy: listener.Addr().String(), method: http.MethodGet, path: "/"}
	_, _, err = client.send(t.Context(), get)
	require.NoError(t, err)
	_, _, err = client.send(t.Context(), get)
	require.ErrorIs(t, err, errSentTwice)
}

func TestTraffic(t *testing.T) {
	t.Parallel()
	old := startCluster(t, &cluster{name: "new"})
	traffic := startTraffic(t.Context(), request{proxy: old.address, host: "shop.example.com", path: "/orders"}, rate)
	seen, err := traffic.watch(t.Context(), 40)
	require.NoError(t, err)
	require.GreaterOrEqual(t, seen.sent, 40)
	require.Equal(t, seen.sent, seen.onNew)
	require.Zero(t, seen.totalFailed())
	begin := time.Now()
	old.kill()
	failed, err := traffic.await(t.Context(), begin, 20)
	require.NoError(t, err)
	require.NotZero(t, failed.failed[http.MethodGet])
	require.NotZero(t, failed.failed[http.MethodPost])
	total := traffic.stop()
	require.Greater(t, total.sent, seen.sent)
	ids := traffic.postIDs()
	require.Len(t, ids, total.sent-total.gets)
	require.Contains(t, ids, "shop.example.com-1")
	require.Equal(t, 1, old.count("shop.example.com-1"))
}
