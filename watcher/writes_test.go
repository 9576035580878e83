package watcher_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/journal"
)

// apiWrites has all writes of a watcher, in order.
type apiWrites struct {
	mu  sync.Mutex
	all []apiWrite
}

type apiWrite struct {
	method, path, body string
	at, answered       time.Time
	status             int
}

// kind is the resource that is written: ingresses, configmaps, ...
func (w apiWrite) kind() string {
	parts := strings.Split(w.path, "/")
	for i, part := range parts {
		if part == "namespaces" && i+2 < len(parts) {
			return parts[i+2]
		}
	}
	return w.path
}

// isJournal tells whether migration-journal is written.
func (w apiWrite) isJournal() bool {
	return strings.HasSuffix(w.path, "/"+names.JournalMap) || w.kind() == "configmaps" && strings.Contains(w.body, journal.EntriesKey)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func (w *apiWrites) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if request.Method == http.MethodGet {
			return next.RoundTrip(request)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		request.Body = io.NopCloser(strings.NewReader(string(body)))
		written := apiWrite{method: request.Method, path: request.URL.Path, body: string(body), at: time.Now()}
		answer, err := next.RoundTrip(request)
		written.answered = time.Now()
		if err == nil {
			written.status = answer.StatusCode
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.all = append(w.all, written)
		return answer, err
	})
}

// of returns all writes so far of a kind; "" is all but Events and migration-journal,
// which follow later.
func (w *apiWrites) of(kind string) []apiWrite {
	w.mu.Lock()
	defer w.mu.Unlock()
	var found []apiWrite
	for _, one := range w.all {
		if one.kind() == kind || kind == "" && one.kind() != "events" && !one.isJournal() {
			found = append(found, one)
		}
	}
	return found
}

// find returns the first write of a kind with all the words in method, path or
// body.
func (w *apiWrites) find(kind string, words ...string) (apiWrite, bool) {
	for _, one := range w.of(kind) {
		text, all := one.method+" "+one.path+" "+one.body, true
		for _, word := range words {
			all = all && strings.Contains(text, word)
		}
		if all {
			return one, true
		}
	}
	return apiWrite{}, false
}
