package proxy

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/migration"
)

// TestChangesUnderLoad: 16 keep-alive clients send POSTs as fast as they can,
// without retries. 500 changes of the weight lose no request and fork no
// worker. Each of 20 reloads loses at most one request where nginx needs a
// drain, and none where it does not.
func TestChangesUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.options.ReloadEvery = 10 * time.Millisecond
	r.run()
	r.apply(r.service("api", full/2))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	reports := make(chan *testbed.Report, 1)
	lost := make(chan testbed.Answer, 1000)
	go func() {
		report, err := testbed.Load{
			URL: "http://" + r.params.Listen.String(), Host: "api.old.test", Method: "POST", Body: "pay",
			Connections: 16, Duration: time.Minute,
			Each: func(a testbed.Answer) {
				if a.Err != nil || a.Status != 200 {
					lost <- a
				}
			},
		}.Run(ctx)
		if err != nil {
			t.Error(err)
		}
		reports <- report
	}()

	workers := r.workers()
	for i := range 500 {
		r.apply(r.service("api", migration.Share(1000*(i%10))))
	}
	require.Empty(t, lost, "weight changes lose no request")
	require.Equal(t, workers, r.workers())

	maxLost := 0
	if r.options.Params.Version.NeedsDrain() {
		maxLost = 1
	}
	began := time.Now()
	for i := range 20 {
		r.apply(r.service("api", full/2), r.service(fmt.Sprintf("more%d", i), 0))
		require.LessOrEqual(t, len(lost), maxLost*(i+1), "after %d reloads", i+1)
	}
	stop()
	report, reloads := <-reports, time.Since(began)
	require.GreaterOrEqual(t, r.Status().Nginx.Reloads, 20)
	require.Greater(t, report.Sent, 5000)
	t.Logf("20 reloads in %s", reloads)
	t.Logf("%d POSTs at %.0f/s, %d lost, %d connections", report.Sent, report.Rate(), len(lost), report.Connections)
}

// workers are the nginx workers' process ids.
func (r *rig) workers() string {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", r.Status().Nginx.PID))
	require.NoError(r.t, err)
	return string(children)
}

// TestDrainSendsClientsAway: clients with keep-alive are asked to reconnect, also
// after one more reload. An nginx that does not need a drain keeps the
// connections.
func TestDrainSendsClientsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", 0))
	require.False(t, r.asksToReconnect("api"))
	r.Drain()
	if !r.options.Params.Version.NeedsDrain() {
		require.False(t, r.asksToReconnect("api"))
		return
	}
	askedToReconnect := func() bool { return r.asksToReconnect("api") }
	require.Eventually(t, askedToReconnect, 5*time.Second, 5*time.Millisecond)
	r.apply(r.service("api", 0), r.service("more", 0))
	require.Eventually(t, askedToReconnect, 5*time.Second, 5*time.Millisecond)
}

// asksToReconnect tells whether a service's answer closes the connection.
func (r *rig) asksToReconnect(name string) bool {
	request, err := http.NewRequest(http.MethodGet, "http://"+r.params.Listen.String(), nil)
	require.NoError(r.t, err)
	request.Host = name + ".old.test"
	response, err := http.DefaultClient.Do(request)
	require.NoError(r.t, err)
	require.NoError(r.t, response.Body.Close())
	require.Equal(r.t, http.StatusOK, response.StatusCode)
	return response.Close
}
