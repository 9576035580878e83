package watcher_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// journal has all writes of a watcher, in order.
type journal struct {
	mu     sync.Mutex
	writes []apiWrite
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

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

func (j *journal) wrap(next http.RoundTripper) http.RoundTripper {
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
		j.mu.Lock()
		defer j.mu.Unlock()
		j.writes = append(j.writes, written)
		return answer, err
	})
}

// of returns all writes so far of a kind; "" is all but Events.
func (j *journal) of(kind string) []apiWrite {
	j.mu.Lock()
	defer j.mu.Unlock()
	var found []apiWrite
	for _, one := range j.writes {
		if one.kind() == kind || kind == "" && one.kind() != "events" {
			found = append(found, one)
		}
	}
	return found
}

// find returns the first write of a kind with all the words in method, path or
// body.
func (j *journal) find(kind string, words ...string) (apiWrite, bool) {
	for _, one := range j.of(kind) {
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
