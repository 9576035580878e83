package compare_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	clicompare "github.com/migration-proxy/migration-proxy/internal/cli/compare"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
)

// TestRunning reads what a proxy has found, and says what is missing if it compares nothing.
func TestRunning(t *testing.T) {
	t.Parallel()
	var since string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("service") != "shop" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		since = r.URL.Query().Get("since")
		tally := compare.Tally{}
		tally.Saw("GET /a")
		answer := compare.Answer{Status: 200}
		tally.Add(&compare.Sample{Request: compare.Request{Method: "GET", Target: "/a"}, Old: answer, New: answer, Again: answer}, compare.Verdict{}, time.Now())
		_ = json.NewEncoder(w).Encode(tally)
	}))
	t.Cleanup(server.Close)
	proxy, err := oneproxy.New(server.Listener.Addr().String())
	require.NoError(t, err)
	from := clicompare.OneProxy{Proxy: proxy}
	result, err := clicompare.Running(t.Context(), from, "shop", 0)
	require.NoError(t, err)
	require.InDelta(t, 100, *result.Same, 0)
	require.Equal(t, 1, result.Samples)
	require.Empty(t, since)
	_, err = clicompare.Running(t.Context(), from, "shop", time.Millisecond)
	require.NoError(t, err)
	require.NotEmpty(t, since)
	_, err = clicompare.Running(t.Context(), from, "other", 0)
	require.ErrorContains(t, err, "write compare: {continuous: true}")
}
