package dataplane

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// TestComparisonTouchesNoClient: new sleeps for 3 s, and is compared. No client notices,
// nothing is counted, nothing falls back, and no cookie or credential of a client leaves.
func TestComparisonTouchesNoClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, `
  - name: shop
    old_host: shop.example.com
    old_backend: $OLD
    new_host: shop.new.example.com
    new_backend: $NEW
    timeout: 1s
    fallback: {max_failures: 1}
    compare: {continuous: true}
    migration: {enabled: true, percentage: 0}
`)
	r.new.Answer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		select {
		case <-request.Context().Done():
		case <-time.After(3 * time.Second):
		}
	}))
	r.start()
	r.awaitStatus("in force", inForce)
	var times []time.Duration
	found := func() bool {
		for range 50 {
			times = append(times, r.askShop(t, len(times)))
		}
		document := r.status()
		c := document.Services[0].Comparison
		return c != nil && c.Samples > 0
	}
	r.eventually("a sample", found)
	document := r.status()
	c := document.Services[0].Comparison
	require.Zero(t, *c.Same)
	require.Contains(t, c.Findings[0], "timeout")
	require.Equal(t, status.Migrating, document.Services[0].Phase)
	require.Zero(t, document.Services[0].New.Rate, "these requests count nowhere")
	slices.Sort(times)
	require.Less(t, times[len(times)*99/100], 500*time.Millisecond)

	compared := 0
	for _, request := range slices.Concat(r.old.Requests(), r.new.Requests()) {
		if request.Header.Get("X-Migration-Compare") == "" {
			continue
		}
		compared++
		require.Empty(t, request.Header.Values("Cookie"))
		require.Empty(t, request.Header.Values("Authorization"))
		require.Equal(t, "192.0.2.1", request.Header.Get("X-Forwarded-For"))
	}
	require.GreaterOrEqual(t, compared, 3)

	response, err := http.Get("http://" + r.options.HTTP.AddrPort.String() + "/comparison?service=shop")
	require.NoError(t, err)
	defer response.Body.Close()
	var tally compare.Tally
	require.NoError(t, json.NewDecoder(response.Body).Decode(&tally))
	require.Equal(t, c.Samples, tally.Report().Samples)
	require.Equal(t, compare.TimedOut, tally.Report().Findings[0].Cause)
}

// askShop sends a request of a client with an identity, and gives its time.
func (r *rig) askShop(t *testing.T, i int) time.Duration {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s/catalog/%d?secret=1", r.options.Listen.AddrPort, i), nil)
	require.NoError(t, err)
	request.Host = "shop.example.com"
	request.Header.Set("Cookie", "session=1")
	request.Header.Set("Authorization", "Bearer 1")
	began := time.Now()
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	return time.Since(began)
}
