package browser

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/proxyprocess"
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

	requireIdle(t, p)
	edited := usage(t, p, 5*time.Second, func(i int) { edit(t, p, thousandServices(old.URL(), i)) })
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
	b.await(`document.querySelector('#live').innerText.includes('A point is added each minute')`)
	b.await(`document.querySelector('#live').innerText.includes('the journal begins, with 1000 services')`)
	b.checkAccessible()
}

// thousandServices are ordinary ones.
func thousandServices(backend string, percentage int) string {
	var text strings.Builder
	text.WriteString("services:\n")
	for i := range 1000 {
		fmt.Fprintf(&text, "- {name: s%04[1]d, old_host: s%04[1]d.example.com, old_backend: %[2]q, new_host: n.example, new_backend: %[2]q, "+
			"migration: {enabled: true, percentage: %[3]d}}\n", i, backend, percentage)
	}
	return text.String()
}

func edit(t *testing.T, p proxyprocess.Process, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.Config+".tmp", []byte(text), 0o644))
	require.NoError(t, os.Rename(p.Config+".tmp", p.Config))
}

// requireIdle: while nobody looks, the agent takes less than 2 % of a core. Other programs
// on the machine make each step dearer for a while, so the best of some windows counts, and
// the test fails only at twice as much.
func requireIdle(t *testing.T, p proxyprocess.Process) {
	t.Helper()
	best := 1.0
	for range 15 {
		best = min(best, usage(t, p, 2*time.Second, func(int) {}))
		if best < 0.02 {
			break
		}
	}
	t.Logf("nobody looks: %.2f %% of a core", 100*best)
	require.Less(t, best, 0.04)
}

// usage is the part of a core that the agent takes for so long.
func usage(t *testing.T, p proxyprocess.Process, length time.Duration, each func(int)) float64 {
	t.Helper()
	began, before := time.Now(), cpuTime(t, p)
	for i := 0; time.Since(began) < length; i++ {
		each(i)
		time.Sleep(length / 10)
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
