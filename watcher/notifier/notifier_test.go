package notifier

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "T0SECRET/B0SECRET"

// rig is a Notifier with what it logs and counts.
type rig struct {
	*testing.T
	*Notifier
	log testbed.Log
}

func newRig(t *testing.T, options Options) *rig {
	t.Helper()
	w := &rig{T: t}
	options.Results = NewCounter()
	options.Log = slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if options.BackOff == 0 {
		options.BackOff = time.Millisecond
	}
	w.Notifier = New(options)
	t.Cleanup(w.Close)
	return w
}

// target is a target whose file has an address.
func (w *rig) target(url string) migration.NotifyTarget {
	w.Helper()
	file := filepath.Join(w.TempDir(), "address")
	require.NoError(w, os.WriteFile(file, []byte(url+"\n"), 0o600))
	return migration.NotifyTarget{URLFile: file, Format: migration.NotifyJSON, On: []string{"fell_back", "recovered"}}
}

func (w *rig) counted(to migration.NotifyTarget, result string) int {
	return int(testutil.ToFloat64(w.options.Results.WithLabelValues(to.URLFile, result)))
}

func (w *rig) waitFor(to migration.NotifyTarget, result string, count int) {
	w.Helper()
	require.Eventually(w, func() bool { return w.counted(to, result) == count }, 10*time.Second, time.Millisecond, "%s of %s", result, w.log.String())
}

// receiver is an address that answers with a status for each request, the last one for
// all that follow.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	statuses []int
	entries  []journal.Entry
}

func newReceiver(t *testing.T, statuses ...int) *receiver {
	t.Helper()
	r := &receiver{statuses: statuses}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, _ := io.ReadAll(request.Body)
	var entry journal.Entry
	if err := json.Unmarshal(body, &entry); err != nil || request.Method != http.MethodPost || request.URL.Path != "/"+secret {
		http.Error(w, "what is this?", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := r.statuses[min(len(r.entries), len(r.statuses)-1)]
	r.entries = append(r.entries, entry)
	w.Header().Set("Location", "http://"+request.Host+"/elsewhere")
	w.WriteHeader(status)
}

func (r *receiver) got() (ids []uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, entry := range r.entries {
		ids = append(ids, entry.ID)
	}
	return ids
}

func fellBack(ids ...uint64) (entries []journal.Entry) {
	for _, id := range ids {
		entries = append(entries, journal.Entry{ID: id, Kind: journal.FellBack, Service: "shop", What: "fell back to old", At: time.Unix(1, 0).UTC()})
	}
	return entries
}

// TestSend: what a target wants comes in order and once, also when two targets name the
// same address.
func TestSend(t *testing.T) {
	t.Parallel()
	w, r := newRig(t, Options{}), newReceiver(t, http.StatusOK)
	to := w.target(r.URL + "/" + secret)
	again := to
	again.Services = []migration.Name{"shop"}
	w.Use([]migration.NotifyTarget{to, again})
	require.Zero(t, w.counted(to, failed), "the series is there before the first failure")
	w.Send(append(fellBack(1, 2), journal.Entry{ID: 3, Kind: journal.Share}, fellBack(4)[0]))
	w.waitFor(to, sent, 3)
	require.Equal(t, []uint64{1, 2, 4}, r.got())
	require.Empty(t, w.log.String())
}

// TestTries: an entry is tried again only when the address surely has not taken it.
func TestTries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		statuses []int
		tries    int
		result   string
	}{
		"the third try succeeds":      {[]int{503, 429, 200}, 3, sent},
		"three tries are enough":      {[]int{500}, 3, failed},
		"a refusal stays one":         {[]int{404}, 1, failed},
		"no redirect is followed":     {[]int{307}, 1, failed},
		"a permanent one is not, too": {[]int{308}, 1, failed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newRig(t, Options{}), newReceiver(t, c.statuses...)
			to := w.target(r.URL + "/" + secret)
			w.Use([]migration.NotifyTarget{to})
			w.Send(fellBack(1))
			w.waitFor(to, c.result, 1)
			require.Len(t, r.got(), c.tries)
			require.NotContains(t, w.log.String(), "SECRET")
		})
	}
}

// TestNoAnswerIsNotTriedAgain: an address that took the request and then hangs, or hangs
// up, may have taken the entry.
func TestNoAnswerIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(r *http.Request){
		"hangs":    func(r *http.Request) { <-r.Context().Done() },
		"hangs up": func(*http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			tries := 0
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				mu.Lock()
				tries++
				mu.Unlock()
				hang(r)
			}))
			t.Cleanup(server.Close)
			w := newRig(t, Options{TryTimeout: 200 * time.Millisecond})
			to := w.target(server.URL + "/" + secret)
			w.Use([]migration.NotifyTarget{to})
			w.Send(fellBack(1))
			w.waitFor(to, failed, 1)
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, 1, tries)
			require.NotContains(t, w.log.String(), "SECRET")
		})
	}
}

// TestNobodyWaits: an address that hangs keeps 100 entries and drops the others, and
// neither Send nor another address waits for it.
func TestNobodyWaits(t *testing.T) {
	t.Parallel()
	release, began := make(chan struct{}), make(chan struct{}, 1)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case began <- struct{}{}:
		default:
		}
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	w, r := newRig(t, Options{LastChance: time.Millisecond, TryTimeout: time.Minute}), newReceiver(t, http.StatusOK)
	stuck, well := w.target(hanging.URL+"/"+secret), w.target(r.URL+"/"+secret)
	w.Use([]migration.NotifyTarget{stuck, well})
	w.Send(fellBack(1))
	<-began
	w.waitFor(well, sent, 1)
	for id := range uint64(105) {
		w.Send(fellBack(id + 2))
		w.waitFor(well, sent, int(id)+2)
	}
	require.Equal(t, 5, w.counted(stuck, dropped))
	w.Close()
	close(release)
	require.Equal(t, 1, w.counted(stuck, failed), "the one that was on its way")
	require.Equal(t, 105, w.counted(stuck, dropped))
}

// TestCloseSendsWhatIsQueued: the process ends in an orderly way.
func TestCloseSendsWhatIsQueued(t *testing.T) {
	t.Parallel()
	w, r := newRig(t, Options{LastChance: 20 * time.Second}), newReceiver(t, http.StatusAccepted)
	w.Use([]migration.NotifyTarget{w.target(r.URL + "/" + secret)})
	w.Send(fellBack(1, 2, 3))
	w.Close()
	require.Equal(t, []uint64{1, 2, 3}, r.got())
}

// TestTheAddressIsASecret: whatever goes wrong, no log line has it.
func TestTheAddressIsASecret(t *testing.T) {
	t.Parallel()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connection, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_, _ = io.WriteString(connection, "HTTP/1.1 "+r.URL.Path+"?\r\n\r\n")
			_ = connection.Close()
		}
	}))
	t.Cleanup(odd.Close)
	for name, url := range map[string]string{
		"nobody listens": gone.URL + "/" + secret, "no address": "hooks.example/" + secret, "another scheme": "file:///" + secret,
		"no URL": "https://[" + secret, "control characters": "https://h/\x7f" + secret, "an answer that repeats it": odd.URL + "/" + secret,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newRig(t, Options{})
			to := w.target(url)
			w.Use([]migration.NotifyTarget{to})
			w.Send(fellBack(1))
			w.waitFor(to, failed, 1)
			w.Close() // the log line follows the count
			require.Contains(t, w.log.String(), "notification failed")
			require.Contains(t, w.log.String(), to.URLFile)
			require.NotContains(t, w.log.String(), "SECRET")
		})
	}
}

// TestTheFileMayChange: a new address is used without a restart, and one that is missing
// is said at once.
func TestTheFileMayChange(t *testing.T) {
	t.Parallel()
	w, r := newRig(t, Options{}), newReceiver(t, http.StatusOK)
	to := migration.NotifyTarget{URLFile: filepath.Join(t.TempDir(), "later"), Format: migration.NotifyJSON, On: []string{"fell_back"}}
	w.Use([]migration.NotifyTarget{to})
	require.Contains(t, w.log.String(), "notifications cannot be sent")
	w.Send(fellBack(1))
	w.waitFor(to, failed, 1)
	require.NoError(t, os.WriteFile(to.URLFile, []byte(r.URL+"/"+secret), 0o600))
	w.Send(fellBack(2))
	w.waitFor(to, sent, 1)
	require.Equal(t, []uint64{2}, r.got())
}

// TestUse: targets come and go.
func TestUse(t *testing.T) {
	t.Parallel()
	w, r := newRig(t, Options{}), newReceiver(t, http.StatusOK)
	to := w.target(r.URL + "/" + secret)
	w.Send(fellBack(1))
	w.Use([]migration.NotifyTarget{to})
	w.Send(fellBack(2))
	w.Use(nil)
	w.Send(fellBack(3))
	w.Use([]migration.NotifyTarget{to})
	w.Send(fellBack(4))
	w.waitFor(to, sent, 2)
	require.ElementsMatch(t, []uint64{2, 4}, r.got())
}
