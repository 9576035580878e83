package kube_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

func pods(n int) []kube.Endpoint {
	var all []kube.Endpoint
	for i := range n {
		all = append(all, kube.Endpoint{Pod: fmt.Sprintf("pod-%02d", i), Ready: true})
	}
	return all
}

// TestFetchStatusesIsBounded: forty hanging replicas cost three rounds of two seconds,
// never more than sixteen questions at once, and each its own answer.
func TestFetchStatusesIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		began := time.Now()
		replicas := kube.FetchStatuses(t.Context(), pods(40), func(ctx context.Context, _ kube.Endpoint) ([]byte, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		require.Equal(t, 6*time.Second, time.Since(began))
		require.LessOrEqual(t, most.Load(), int64(16))
		require.Len(t, replicas, 40)
		for i, replica := range replicas {
			require.Equal(t, fmt.Sprintf("pod-%02d", i), replica.Pod)
			require.ErrorIs(t, replica.Err, context.DeadlineExceeded)
			require.ErrorContains(t, replica.Err, replica.Pod)
		}
	})
}

func TestFetchStatusesEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	replicas := kube.FetchStatuses(ctx, pods(40), func(ctx context.Context, _ kube.Endpoint) ([]byte, error) { return nil, ctx.Err() })
	require.ErrorIs(t, replicas[39].Err, context.Canceled)
}

func TestFetchStatusesRefusesOtherDocuments(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{``, `{}`, `<html>`, `{"started_at": 5}`} {
		replicas := kube.FetchStatuses(t.Context(), pods(1), func(context.Context, kube.Endpoint) ([]byte, error) { return []byte(answer), nil })
		require.ErrorContains(t, replicas[0].Err, "not a proxy's status", answer)
	}
	replicas := kube.FetchStatuses(t.Context(), pods(1), func(context.Context, kube.Endpoint) ([]byte, error) { return nil, errors.New("no route") })
	require.EqualError(t, replicas[0].Err, "get the status of pod-00: no route")
}

// TestFromPodAddress asks real servers: one answers, one is somebody else, one is gone.
func TestFromPodAddress(t *testing.T) {
	t.Parallel()
	document, err := json.Marshal(status.Status{Version: "v1", StartedAt: time.Now()})
	require.NoError(t, err)
	var connections atomic.Int64
	good := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/status", r.URL.Path)
		assert.True(t, r.URL.Query().Has("brief"))
		_, _ = w.Write(document)
	}))
	good.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	good.Start()
	defer good.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	get := kube.FromPodAddress(true)
	replicas := kube.FetchStatuses(t.Context(), []kube.Endpoint{at(good), at(other), at(gone)}, get)
	require.NoError(t, replicas[0].Err)
	require.Equal(t, "v1", replicas[0].Status.Version)
	require.ErrorContains(t, replicas[1].Err, "404")
	require.NotErrorIs(t, replicas[1].Err, kube.ErrUnreachable)
	require.ErrorIs(t, replicas[2].Err, kube.ErrUnreachable)
	require.ErrorContains(t, replicas[2].Err, "refused")
	require.NoError(t, kube.FetchStatuses(t.Context(), []kube.Endpoint{at(good)}, get)[0].Err)
	require.Equal(t, int64(1), connections.Load(), "the connection is used again")
}

func at(server *httptest.Server) kube.Endpoint {
	address := strings.TrimPrefix(server.URL, "http://")
	return kube.Endpoint{Pod: address, Address: netip.MustParseAddrPort(address), Ready: true}
}

// TestFetchEvidence asks real servers: a replica with evidence, and one that has none
// because its program is older.
func TestFetchEvidence(t *testing.T) {
	t.Parallel()
	want := status.Evidence{StartedAt: time.Now().UTC().Truncate(time.Second), Services: map[string]status.ServiceEvidence{"api": {Share: 5}}}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	good := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/evidence", r.URL.Path)
		_, _ = w.Write(text)
	}))
	defer good.Close()
	older := httptest.NewServer(http.NotFoundHandler())
	defer older.Close()
	endpoints := pods(2)
	for i, server := range []*httptest.Server{good, older} {
		endpoints[i].Address = netip.MustParseAddrPort(strings.TrimPrefix(server.URL, "http://"))
	}
	replicas := kube.FetchEvidence(t.Context(), endpoints, kube.EvidenceFromPodAddress())
	require.NoError(t, replicas[0].Err)
	require.Equal(t, want, replicas[0].Document)
	require.ErrorContains(t, replicas[1].Err, "get the evidence of pod-01")
	require.ErrorContains(t, replicas[1].Err, "404")
}
