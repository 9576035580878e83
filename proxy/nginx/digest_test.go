package nginx

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAwaitDigestWantsFiveAnswersInARow: during a reload old and new workers
// answer.
func TestAwaitDigestWantsFiveAnswersInARow(t *testing.T) {
	t.Parallel()
	n := &Nginx{Dir: t.TempDir()}
	listener, err := net.Listen("unix", n.path("admin.sock"))
	require.NoError(t, err)
	answers := []string{"new", "new", "new", "new", "old", "new", "new", "new", "new", "new"}
	var count atomic.Int64
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, answers[min(int(count.Add(1)), len(answers))-1])
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	require.NoError(t, NewSupervisor(n, Options{Log: noLog()}).AwaitDigest(t.Context(), "new"))
	require.EqualValues(t, len(answers), count.Load())
}
