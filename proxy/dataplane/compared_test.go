package dataplane

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/compare"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/proxy/localramp"
	"github.com/migration-proxy/migration-proxy/proxy/sampling"
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

	var tally compare.Report
	r.eventually("the document has the samples of the status", func() bool { // one may have ended in between
		tally = r.comparison(t)
		return r.status().Services[0].Comparison.Samples == tally.Samples
	})
	require.Equal(t, compare.TimedOut, tally.Findings[0].Cause)
}

func (r *rig) comparison(t *testing.T) compare.Report {
	response, err := http.Get("http://" + r.options.HTTP.AddrPort.String() + "/comparison?service=shop")
	require.NoError(t, err)
	defer response.Body.Close()
	var tally compare.Tally
	require.NoError(t, json.NewDecoder(response.Body).Decode(&tally))
	return tally.Report()
}

// TestParityHoldsTheRamp: new differs in one way, so no client gets there, and the ramp names
// the difference. When it is mended, the ramp goes on.
func TestParityHoldsTheRamp(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, Options{Ramps: 200 * time.Millisecond}, 0, `
  - name: shop
    old_host: shop.example.com
    old_backend: $OLD
    new_host: shop.new.example.com
    new_backend: $NEW
    compare: {continuous: true}
    migration: {enabled: true, percentage: 100, ramp: {steps: [20, 99], hold: 1s, parity: 99, judge: {min_requests: 50, max_extra: 20, slow: {allow: 10s}}}}
`)
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	r.old.Answer(answer(http.StatusOK))
	r.new.Answer(answer(http.StatusNonAuthoritativeInfo))
	r.sampler.Pace = sampling.Pace{Pause: 20 * time.Millisecond, Part: 1, PerRoute: 10000}
	r.start()
	r.awaitStatus("in force", inForce)
	askUntil := func(description string, condition func(rampview.Row) bool) {
		for deadline, i := time.Now().Add(3*time.Minute), 0; ; i++ {
			r.ask(t, fmt.Sprintf("/%c/%d", 'a'+i%2, i))
			if i%50 != 0 {
				continue
			}
			row := r.ramp()
			if condition(row) {
				return
			}
			require.True(t, time.Now().Before(deadline), "%s: %+v", description, row)
		}
	}
	const difference = "203 on new, 200 on old"
	askUntil("the ramp says for what it waits", func(row rampview.Row) bool { return strings.Contains(row.Why, difference) })
	require.Contains(t, r.ramp().Why, "both sides answer alike on 0.00 % of the requests, not on 99 %")
	for _, request := range r.new.Requests() {
		require.NotEmpty(t, request.Header.Get("X-Migration-Compare"), "no client has been at new")
	}

	r.new.Answer(answer(http.StatusOK))
	askUntil("the ramp goes on", func(rampview.Row) bool { return r.status().Services[0].Share == 20 })
}

// ramp is the row of the only ramp.
func (r *rig) ramp() rampview.Row {
	data, err := localramp.Read(r.options.RuntimeDir)
	require.NoError(r.t, err)
	rows, err := rampview.Rows(r.dataPlane.agent.Table(), data, time.Now())
	require.NoError(r.t, err)
	require.Len(r.t, rows, 1)
	return rows[0]
}

// askShop sends a request of a client with an identity, and gives its time.
func (r *rig) askShop(t *testing.T, i int) time.Duration {
	return r.ask(t, fmt.Sprintf("/catalog/%d?secret=1", i))
}

func (r *rig) ask(t *testing.T, target string) time.Duration {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("http://%s%s", r.options.Listen.AddrPort, target), nil)
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
