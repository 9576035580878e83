package breaker

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

func reset(id string, unread bool) *accesslog.Event {
	return &accesslog.Event{
		Service: []byte("api"), RequestID: []byte(id),
		New: accesslog.Upstream{Tries: 1, Status: 502, Connected: true, Unread: unread},
	}
}

// TestRefusedUploads are no failures; only the lines that come at once say that the
// upload was not read.
func TestRefusedUploads(t *testing.T) {
	t.Parallel()
	for ratio := range 2 {
		b := newBreaker(t.TempDir())
		b.setTable(t, serviceRow("api", func(s *migration.Service) { s.Fallback.FailureRatio = float64(ratio) / 2 }))
		for range 5 {
			b.ObserveFailure(reset("upload", true), noon)
			b.ObserveRequest(reset("upload", false), noon.Add(time.Second))
		}
		require.Equal(t, status.Migrating, b.phases["api"])
		for range 3 {
			b.ObserveFailure(reset("other", false), noon)
			b.ObserveRequest(reset("other", false), noon)
		}
		require.Equal(t, status.FallenBack, b.phases["api"])
	}
}

// TestRefusedUploadsAreForgotten: a client may use an id again.
func TestRefusedUploadsAreForgotten(t *testing.T) {
	t.Parallel()
	var r refusedUploads
	r.add([]byte("upload"), noon)
	r.forget(noon.Add(4 * time.Second))
	require.True(t, r.has([]byte("upload")))
	r.forget(noon.Add(6 * time.Second))
	require.False(t, r.has([]byte("upload")))
	for i := range 2 * maxUploads {
		r.add([]byte{byte(i), byte(i >> 8)}, noon)
	}
	require.Len(t, r.seen, maxUploads)
}
