package watcher_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/watcher"
)

// intercept puts a function between a watcher and the API server.
func intercept(options watcher.Options, do func(*http.Request, http.RoundTripper) (*http.Response, error)) {
	options.Config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) { return do(request, next) })
	})
}

// gate can hold back what the API server sends on a watch.
type gate struct {
	mu      sync.Mutex
	open    chan struct{} // closed when the gate is open
	deleted chan struct{} // gets one for each deletion that passed; holds many
}

func newGate() *gate {
	open := make(chan struct{})
	close(open)
	return &gate{open: open, deleted: make(chan struct{}, 100)}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
}

func (g *gate) now() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// watch holds back the watches of a kind, and passes all other requests on.
func (g *gate) watch(kind string) func(*http.Request, http.RoundTripper) (*http.Response, error) {
	return func(request *http.Request, next http.RoundTripper) (*http.Response, error) {
		answer, err := next.RoundTrip(request)
		if err == nil && request.URL.Query().Get("watch") == "true" && strings.HasSuffix(request.URL.Path, "/"+kind) {
			answer.Body = &gated{ReadCloser: answer.Body, ctx: request.Context(), gate: g}
		}
		return answer, err
	}
}

type gated struct {
	io.ReadCloser
	ctx  context.Context
	gate *gate
	last bool // the last read had a deletion
}

func (b *gated) Read(into []byte) (int, error) {
	if b.last { // a reader that reads on has processed the last read
		b.gate.deleted <- struct{}{}
	}
	n, err := b.ReadCloser.Read(into)
	b.last = bytes.Contains(into[:n], []byte("DELETED"))
	select {
	case <-b.gate.now():
	case <-b.ctx.Done():
	}
	return n, err
}

// startWatcher runs a watcher until stop is called, or the test ends.
func (env *testEnv) startWatcher() (stop func()) {
	env.Helper()
	_, stop = env.startWith(env.options())
	return stop
}

func (env *testEnv) startWith(options watcher.Options) (started *watcher.Watcher, stop func()) {
	env.Helper()
	started, err := watcher.New(options)
	require.NoError(env, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- started.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select { // no FailNow: it would end the whole test binary from inside OnceFunc
		case err := <-ended:
			if err != nil {
				env.Error(err)
			}
		case <-time.After(maxWait):
			env.Error("the watcher does not end")
		}
	})
	env.Cleanup(stop)
	return started, stop
}
