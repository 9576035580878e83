package browser

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// TestRealProxy: the page of the real program with 1,000 services follows an edit of the
// config, and traffic. It logs what the agent takes; that it makes no page while nobody looks
// is for internal/pageserver's TestNobodyLooks.
func TestRealProxy(t *testing.T) {
	old, err := testbed.Start(testbed.Options{Name: "old"})
	require.NoError(t, err)
	t.Cleanup(old.Kill)
	program, err := proxyprocess.Build(t.TempDir())
	require.NoError(t, err)
	p := proxyprocess.Start(t, program, thousandServices(old.URL(), 0))

	requireIdle(t, "nobody looks", p, func(int) {})
	requireIdle(t, "nobody looks, and two shares a second move", p, func(i int) { skip(t, program, p, withoutRamp+i) })
	require.Eventually(t, func() bool { return positionOf(t, p, withoutRamp) > 0 }, time.Minute, 100*time.Millisecond, "the shares moved")
	edited := usage(t, p, 5*time.Second, func(i int) { edit(t, p, thousandServices(old.URL(), i+1)) })
	t.Logf("nobody looks, and the config is edited twice a second: %.2f %% of a core, to read it", 100*edited)

	b := newTab(t)
	b.open("http://" + p.API + "/")
	b.awaitLive()
	t.Logf("one looks at 1,000 services: %.2f %% of a core", 100*usage(t, p, 5*time.Second, func(int) {}))
	edit(t, p, thousandServices(old.URL(), 37))
	b.await(`document.querySelector('#rows [data-f=cell]').textContent === '37 %'`)
	for range 30 {
		send(t, p)
	}
	b.await(`/^[1-9]|^0\.[1-9]/.test(document.querySelectorAll('#rows [data-f=cell]')[2].textContent)`)
	b.do(chromedp.Click(chromedp.CSS("#rows a")), chromedp.WaitVisible(chromedp.CSS("#live")))
	b.awaitLive()
	b.await(historyShown)
	b.await(`document.querySelector('#live').innerText.includes('-> 37')`)
	b.checkAccessible()
}

// historyShown is true when the page shows the history, or says that it has no point yet: a
// point is added when a minute of the clock ends, which may be now.
const historyShown = `document.querySelectorAll('#live figure svg').length === 4 ||
  document.querySelector('#live').innerText.includes('A point is added each minute')`

// withoutRamp is how many of the services have a plain percentage. The others have a ramp.
const withoutRamp = 100

// thousandServices are ordinary ones, the first of them with this percentage.
func thousandServices(backend string, percentage int) string {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 1000 {
		share := fmt.Sprint("percentage: ", percentage)
		if i >= withoutRamp {
			share = "percentage: 100, ramp: [1, 2, 3, 5, 10, 20, 50, 99]"
		}
		fmt.Fprintf(&text, "- {name: s%04[1]d, old_host: s%04[1]d.example.com, old_backend: %[2]q, new_host: n.example, new_backend: %[2]q, "+
			"migration: {enabled: true, %[3]s}}\n", i, backend, share)
	}
	return text.String()
}

func edit(t *testing.T, p proxyprocess.Process, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.Config+".tmp", []byte(text), 0o644))
	require.NoError(t, os.Rename(p.Config+".tmp", p.Config))
}

// skip moves a service to the next step of its ramp, and does not wait until it is there.
func skip(t *testing.T, program string, p proxyprocess.Process, i int) {
	t.Helper()
	output, err := exec.Command(program, "ramp", fmt.Sprintf("s%04d", i), "skip", "--timeout", "1ms",
		"--local-config", p.Config, "--runtime-dir", p.RuntimeDir).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err, string(output))
	}
}

// positionOf is the position of a ramp in per cent.
func positionOf(t *testing.T, p proxyprocess.Process, service int) float64 {
	t.Helper()
	answer, err := http.Get("http://" + p.API + "/status")
	require.NoError(t, err)
	defer answer.Body.Close()
	var now status.Status
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&now))
	require.NotNil(t, now.Services[service].Ramp)
	return now.Services[service].Ramp.Position
}

// requireIdle: the agent takes less than 2 % of a core. Other programs on the machine make
// each step dearer for a while, so the best of some windows counts, and the test fails only
// at twice as much.
func requireIdle(t *testing.T, when string, p proxyprocess.Process, each func(int)) {
	t.Helper()
	best, done := 1.0, 0
	for range 15 {
		best = min(best, usage(t, p, 2*time.Second, func(int) { each(done); done++ }))
		if best < 0.02 {
			break
		}
	}
	t.Logf("%s: %.2f %% of a core", when, 100*best)
	require.Less(t, best, 0.04, when)
}

// usage is the part of a core that the agent takes for so long, while each is called twice
// a second.
func usage(t *testing.T, p proxyprocess.Process, length time.Duration, each func(int)) float64 {
	t.Helper()
	began, before := time.Now(), cpuTime(t, p)
	for i := 0; time.Since(began) < length; i++ {
		each(i)
		time.Sleep(500 * time.Millisecond)
	}
	return float64(cpuTime(t, p)-before) / float64(time.Since(began))
}

// cpuTime is what all threads of the agent have taken, as the kernel counts it. To ask the
// agent would cost more than it takes by itself.
func cpuTime(t *testing.T, p proxyprocess.Process) time.Duration {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.PID))
	require.NoError(t, err)
	require.NotEmpty(t, threads)
	var all time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if err != nil {
			continue // it has ended
		}
		running, _, _ := strings.Cut(string(text), " ") // nanoseconds
		taken, err := strconv.ParseInt(running, 10, 64)
		require.NoError(t, err)
		all += time.Duration(taken)
	}
	return all
}

func send(t *testing.T, p proxyprocess.Process) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Traffic+"/", nil)
	require.NoError(t, err)
	request.Host = "s0000.example.com"
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
}
