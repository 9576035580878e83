package watcher_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
)

// inbox is an address of global.notify.
type inbox struct {
	mu   sync.Mutex
	got  []journal.Entry
	file string // has its address
}

func (i *inbox) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	text, _ := io.ReadAll(r.Body)
	var entry journal.Entry
	if json.Unmarshal(text, &entry) == nil {
		i.mu.Lock()
		i.got = append(i.got, entry)
		i.mu.Unlock()
	}
}

// sentences are what was said, sorted by when.
func (i *inbox) sentences() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	all := []string{}
	for _, entry := range i.got {
		all = append(all, entry.Service+" "+entry.What)
	}
	return all
}

func (env *testEnv) newInbox() *inbox {
	env.Helper()
	i := &inbox{file: filepath.Join(env.TempDir(), "address")}
	server := httptest.NewServer(i)
	env.Cleanup(server.Close)
	require.NoError(env, os.WriteFile(i.file, []byte(server.URL), 0o600))
	return i
}

// waitForSentences waits until exactly these have come.
func (env *testEnv) waitForSentences(i *inbox, sentences ...string) {
	env.Helper()
	require.EventuallyWithT(env, func(c *assert.CollectT) { require.Equal(c, sentences, i.sentences()) }, maxWait, 20*time.Millisecond)
}

const (
	apiFellBack  = "api fell back to old"
	apiRecovered = "api traffic goes through the proxy again, after FallenBack"
)

// TestNotify: each transition is told once, when one leader follows another, and while
// two watchers both believe that they lead.
func TestNotify(t *testing.T) {
	env := newTestEnv(t, 2)
	in := env.newInbox()
	env.writeConfig("global: {notify: [{url_file: " + in.file + ", format: json}]}\n" + env.servicesConfig(map[string]int{"api": 5}))
	stop := env.startWatcher()
	env.waitForEntries("api percentage 5") // a kind that is not asked for
	env.reportPhase(1, status.FallenBack, "5 failures in 60s")
	env.waitForSentences(in, apiFellBack)

	stop()
	stop = env.startWatcher() // it finds what its predecessor has told
	env.waitForPolls()
	stop()
	env.reportPhase(1, status.Migrating, "") // while nobody leads
	stop = env.startWatcher()
	env.waitForSentences(in, apiFellBack, apiRecovered)

	_, stopSecond := env.startWith(env.options()) // it leads as well
	env.waitForPolls()
	env.reportPhase(1, status.FallenBack, "5 failures in 60s")
	env.waitForSentences(in, apiFellBack, apiRecovered, apiFellBack)
	stop() // each makes its last writes
	stopSecond()
	require.Equal(t, []string{apiFellBack, apiRecovered, apiFellBack}, in.sentences())

	told := map[uint64]string{}
	for _, entry := range in.got {
		told[entry.ID] = entry.What
	}
	require.Len(t, told, 3, "no ID is told twice")
	for _, entry := range env.journalEntries() {
		if what, ok := told[entry.ID]; ok {
			require.Equal(t, entry.What, what, "the entry is that of the journal")
		}
	}
}
