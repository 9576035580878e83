package configsync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// fakeSource reports the versions of a channel.
type fakeSource struct {
	versions chan version
	linger   time.Duration
	lastGood []byte
}

func (s *fakeSource) String() string        { return "source" }
func (s *fakeSource) Reread()               {}
func (s *fakeSource) Linger() time.Duration { return s.linger }

func (s *fakeSource) LastGood(context.Context) (string, []byte) { return "stored", s.lastGood }

func (s *fakeSource) Run(ctx context.Context, receive func([]byte, error)) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case newest := <-s.versions:
			receive(newest.text, newest.err)
		}
	}
}

// fakeAgent puts each table in force at once, except while it refuses.
type fakeAgent struct {
	mu      sync.Mutex
	refuses bool
	inForce *migration.Table
	calls   []string // of ApplyTable, SetLastGood and ReportInvalid
	invalid bool
}

func (a *fakeAgent) call(format string, args ...any) {
	a.calls = append(a.calls, fmt.Sprintf(format, args...))
}

func (a *fakeAgent) ApplyTable(table *migration.Table, source string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.call("apply %s %v", source, services(table))
	if a.refuses {
		a.invalid = true
		return
	}
	a.inForce, a.invalid = table, false
}

func (a *fakeAgent) SetLastGood(table *migration.Table, source string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.call("last good %s %v", filepath.Base(source), services(table))
	a.inForce = table
}

func (a *fakeAgent) ReportInvalid(stage, source string, problems []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.call("invalid %s %s %q", stage, source, problems)
	a.invalid = true
}

func (a *fakeAgent) Table() *migration.Table {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.inForce
}

func (a *fakeAgent) Status() (document status.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.invalid {
		document.Config.Rejected = &status.Rejected{}
	}
	return document
}

// services are the names of a table's services, with "-" for a disabled one.
func services(table *migration.Table) (names []string) {
	for _, service := range table.Services() {
		name := string(service.Name)
		if !service.Enabled {
			name = "-" + name
		}
		names = append(names, name)
	}
	return names
}

// fakeCounters remembers the services that are counted.
type fakeCounters struct {
	mu    sync.Mutex
	names []string
}

func (c *fakeCounters) SetServices(names []string, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = names
}

func (c *fakeCounters) counted() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.names
}

// bench is a running Sync with fakes around it.
type bench struct {
	t        *testing.T
	source   *fakeSource
	agent    *fakeAgent
	counters *fakeCounters
	file     string
}

// run starts a Sync in a synctest bubble. It runs until the test ends.
func run(t *testing.T, source *fakeSource, agent *fakeAgent, lastGood string) *bench {
	t.Helper()
	b := &bench{t: t, source: source, agent: agent, counters: &fakeCounters{}, file: filepath.Join(t.TempDir(), "last-good.yaml")}
	if lastGood != "" {
		require.NoError(t, os.WriteFile(b.file, []byte(lastGood), 0o600))
	}
	source.versions = make(chan version)
	s := New(Options{Source: source, Agent: agent, Counters: b.counters, LastGoodFile: b.file, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	return b
}

// report lets the source report a version, and waits until it is applied.
func (b *bench) report(text string, err error) {
	b.source.versions <- version{[]byte(text), err}
	synctest.Wait()
}

// check waits for the next check of what is in force.
func (b *bench) check() {
	time.Sleep(checkInterval)
	synctest.Wait()
}

func (b *bench) requireLastGood(want string) {
	b.t.Helper()
	text, err := os.ReadFile(b.file)
	if want == "" {
		require.ErrorIs(b.t, err, os.ErrNotExist)
		return
	}
	require.NoError(b.t, err)
	require.Equal(b.t, want, string(text))
}

// configOf is a config with the services, each fully on new.
func configOf(names ...string) string {
	text := "services:\n"
	for _, name := range names {
		text += fmt.Sprintf(`  - name: %[1]s
    old_host: %[1]s.example.com
    old_backend: http://127.0.0.1:1
    new_host: %[1]s.new.example.com
    new_backend: http://127.0.0.1:2
    migration: {enabled: true, percentage: 100}
`, name)
	}
	return text
}

func TestValidConfigIsAppliedAndStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, &fakeSource{}, &fakeAgent{}, "")
		b.report(configOf("shop"), nil)
		require.Equal(t, []string{"apply source [shop]"}, b.agent.calls)
		require.Equal(t, []string{"shop"}, b.counters.counted(), "of the table offered, before it is in force")
		b.requireLastGood("")
		b.check()
		b.requireLastGood(configOf("shop"))
		require.Equal(t, []string{"shop"}, b.counters.counted())
	})
}

func TestInvalidConfigIsReportedAndNotStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, &fakeSource{}, &fakeAgent{}, "")
		b.report(configOf("shop"), nil)
		b.check()
		b.report("service: []", nil)
		b.report("", errors.New("first problem\nsecond problem"))
		b.check()
		require.Len(t, b.agent.calls, 3)
		require.Contains(t, b.agent.calls[1], `invalid load source ["source:1:1: `)
		require.Equal(t, `invalid load source ["first problem" "second problem"]`, b.agent.calls[2])
		b.requireLastGood(configOf("shop"))
	})
}

func TestRefusedConfigIsNotStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		agent := &fakeAgent{}
		b := run(t, &fakeSource{}, agent, "")
		b.report(configOf("shop"), nil)
		b.check()
		agent.mu.Lock()
		agent.refuses = true
		agent.mu.Unlock()
		b.report(configOf("shop", "other"), nil)
		b.check()
		b.requireLastGood(configOf("shop"))
		require.Equal(t, []string{"shop", "other", "shop"}, b.counters.counted(), "nginx may know all of them")
	})
}

// TestLastGoodAfterARestart: a stored config is offered once, when the newest
// is refused and none is in force; the proxy's own file comes first.
func TestLastGoodAfterARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, source string
		want         []string
	}{
		"file":                {configOf("of-file"), configOf("of-source"), []string{"last good last-good.yaml [of-file]"}},
		"source":              {"", configOf("of-source"), []string{"last good stored [of-source]"}},
		"file does not load":  {"service: []", configOf("of-source"), []string{"last good stored [of-source]"}},
		"neither":             {"", "", nil},
		"source is not valid": {"", "service: []", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				source := &fakeSource{}
				if c.source != "" {
					source.lastGood = []byte(c.source)
				}
				b := run(t, source, &fakeAgent{}, c.file)
				b.check()
				require.Empty(t, b.agent.calls, "nothing is refused yet")
				b.report("", errors.New("unreadable"))
				b.check()
				b.check()
				require.Equal(t, c.want, append([]string(nil), b.agent.calls[1:]...))
			})
		})
	}
}

// TestLastGoodIsNotOfferedWhileAConfigIsInForce: what is in force stays.
func TestLastGoodIsNotOfferedWhileAConfigIsInForce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, &fakeSource{}, &fakeAgent{}, configOf("stored"))
		b.report(configOf("shop"), nil)
		b.report("", errors.New("unreadable"))
		b.check()
		require.Equal(t, []string{"apply source [shop]", `invalid load source ["unreadable"]`}, b.agent.calls)
	})
}

// TestRemovedServiceLingers: it is offered as disabled until the linger is over.
// What is stored is the config as it is written.
func TestRemovedServiceLingers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, &fakeSource{linger: 10 * time.Second}, &fakeAgent{}, "")
		b.report(configOf("shop", "gone"), nil)
		b.report(configOf("shop"), nil)
		time.Sleep(9 * time.Second)
		b.check()
		require.Equal(t, []string{"apply source [gone shop]", "apply source [-gone shop]"}, b.agent.calls)
		b.requireLastGood(configOf("shop"))
		time.Sleep(time.Second)
		b.check()
		require.Equal(t, "apply source [shop]", b.agent.calls[2])
		time.Sleep(10 * time.Second)
		b.check()
		require.Len(t, b.agent.calls, 3)
	})
}

func TestRemovedServiceWithoutLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, &fakeSource{}, &fakeAgent{}, "")
		b.report(configOf("shop", "gone"), nil)
		b.report(configOf("shop"), nil)
		require.Equal(t, []string{"apply source [gone shop]", "apply source [shop]"}, b.agent.calls)
	})
}

// TestRunEndsWithTheSource: a source that cannot be followed ends Run.
func TestRunEndsWithTheSource(t *testing.T) {
	t.Parallel()
	failed := errors.New("no such directory")
	s := New(Options{Source: failingSource{&fakeSource{}, failed}, Agent: &fakeAgent{}, Counters: &fakeCounters{}})
	require.ErrorIs(t, s.Run(t.Context()), failed)
}

type failingSource struct {
	*fakeSource
	err error
}

func (s failingSource) Run(context.Context, func([]byte, error)) error { return s.err }
