package breaker

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
	"github.com/migration-proxy/migration-proxy/proxy/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// bench is a guard and what it told the agent.
type bench struct {
	*Breaker
	dir    string
	phases map[migration.Name]status.Phase
	reason string
	broken []string
}

func newBench(dir string) *bench {
	b := &bench{dir: dir, phases: map[migration.Name]status.Phase{}}
	b.Breaker = New(Options{
		StateFile: filepath.Join(dir, "fallback.json"),
		Verdict: func(name migration.Name, phase status.Phase, reason string) {
			b.phases[name], b.reason = phase, reason
		},
		Health: health.New(health.Options{}),
		Addresses: func(at migration.Backend) []netip.AddrPort {
			return []netip.AddrPort{netip.MustParseAddrPort(at.HostPort())}
		},
		Broken: func(name migration.Name, side migration.Side, failure fallback.Failure, _ time.Time) {
			b.broken = append(b.broken, fmt.Sprint(name, " ", side, " ", failure))
		},
		Log: slog.New(slog.DiscardHandler),
	})
	return b
}

func service(name string, change func(*migration.Service)) migration.Service {
	s := migration.Service{
		Name: migration.Name(name), OldHost: migration.Host(name + ".test"), PathPrefix: "/", Enabled: true, Share: 5000,
		OldBackend: migration.Backend{Scheme: migration.HTTP, Host: "192.0.2.1", Port: 80},
		NewBackend: migration.Backend{Scheme: migration.HTTPS, Host: "192.0.2.2", Port: 443},
		Fallback:   migration.Fallback{Enabled: true, MaxFailures: 3, Window: time.Minute, RecoveryTime: time.Minute, OnStatus: []int{503}},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func (b *bench) table(t *testing.T, services ...migration.Service) {
	t.Helper()
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	b.SetTable(table, noon)
}

// event is a request that new answered with a status.
func event(name string, code int) *accesslog.Event {
	return &accesslog.Event{
		Service: []byte(name), RequestID: []byte("id"),
		New: accesslog.Upstream{Tries: 1, Status: code, Connected: true, Replied: true},
	}
}

func TestFailuresTripOnceEach(t *testing.T) {
	t.Parallel()
	b := newBench(t.TempDir())
	b.table(t, service("api", nil), service("other", nil))
	require.Equal(t, status.Migrating, b.phases["api"], "told at the start")
	for range 10 { // the batch repeats what was told at once
		b.Batch(event("api", 503), noon)
	}
	for range 2 {
		b.Urgent(event("api", 503), noon)
	}
	b.Urgent(event("api", 404), noon)
	b.Urgent(event("unknown", 503), noon)
	require.Equal(t, status.Migrating, b.phases["api"], "two failures of three")
	b.Urgent(event("api", 503), noon)
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "3 of 3 requests to new failed within 1m0s, last: status 503, requests id")
	require.Equal(t, status.Migrating, b.phases["other"])
}

func TestARatioIsJudgedByTheBatches(t *testing.T) {
	t.Parallel()
	b := newBench(t.TempDir())
	b.table(t, service("api", func(s *migration.Service) { s.Fallback.FailureRatio = 0.5 }))
	for range 10 {
		b.Urgent(event("api", 503), noon)
		b.Batch(event("api", 200), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "what comes at once does not count")
	for range 9 {
		b.Batch(event("api", 503), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "9 of 19")
	b.Batch(event("api", 503), noon)
	require.Equal(t, status.FallenBack, b.phases["api"], "10 of 20")
}

func TestARestartForgetsNoFallbackAndStartsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(dir)
	b.table(t, service("api", nil), service("well", nil))
	for range 3 {
		b.Urgent(event("api", 503), noon)
	}
	for range 2 {
		b.Urgent(event("well", 503), noon)
	}
	until := b.watched["api"].machine.State().Until
	after := newBench(dir)
	require.Equal(t, map[migration.Name]status.Phase{"api": status.FallenBack}, after.phases, "before any table is in force")
	after.table(t, service("api", nil), service("well", nil))
	require.Equal(t, map[migration.Name]status.Phase{"api": status.FallenBack, "well": status.Migrating}, after.phases)
	require.True(t, until.Equal(after.watched["api"].machine.State().Until), "the hold-off goes on where it was")
}

func TestAUsersEditWins(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*migration.Service){
		"disabled": func(s *migration.Service) { s.Enabled = false },
		"0 %":      func(s *migration.Service) { s.Share = 0 },
		"off":      func(s *migration.Service) { s.Fallback.Enabled = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t.TempDir())
			b.table(t, service("api", nil))
			for range 3 {
				b.Urgent(event("api", 503), noon)
			}
			require.Equal(t, status.FallenBack, b.phases["api"])
			b.table(t, service("api", edit))
			require.Equal(t, status.Migrating, b.phases["api"])
		})
	}
}

func TestADroppedServiceIsForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(dir)
	trip := func() {
		require.NoError(t, b.Command("api", fallback.Trip, "me", noon))
		require.Equal(t, status.FallenBack, b.phases["api"])
	}
	b.table(t, service("api", nil))
	trip()
	b.table(t, service("other", nil))
	b.table(t, service("api", nil))
	require.Equal(t, status.Migrating, b.phases["api"])
	b = newBench(dir)
	b.table(t, service("api", nil))
	require.Equal(t, status.Migrating, b.phases["api"], "a restart does not bring it back")
	trip()
	newBench(dir).table(t, service("other", nil))
	b = newBench(dir)
	b.table(t, service("api", nil))
	require.Equal(t, status.Migrating, b.phases["api"], "it was dropped while nobody looked")
}

func TestWhatCannotBeReadOrWrittenHoldsNothingUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := `"good": {"version": 1, "phase": "FallenBack", "manual": true, "since": "2026-01-01T00:00:00Z", "code": "operator_trip"}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fallback.json"), []byte(`{"bad": 7, `+good+`}`), 0o600))
	b := newBench(dir)
	b.table(t, service("good", nil), service("bad", nil))
	require.Equal(t, map[migration.Name]status.Phase{"good": status.FallenBack, "bad": status.Migrating}, b.phases)
	require.NoError(t, os.RemoveAll(dir))
	for range 3 {
		b.Urgent(event("bad", 503), noon)
	}
	require.Equal(t, status.FallenBack, b.phases["bad"])
}

// TestTheOperatorsWord goes through the socket, as the CLI does.
func TestTheOperatorsWord(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "guard") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := newBench(dir)
	b.table(t, service("api", nil))
	require.ErrorContains(t, Send(t.Context(), dir, fallback.Trip, "api", "me"), "no agent answers")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.Serve(ctx, dir) }()
	require.Eventually(t, func() bool { return Send(t.Context(), dir, fallback.Trip, "api", "me") == nil }, 5*time.Second, time.Millisecond)
	info, err := os.Stat(filepath.Join(dir, controlSocket))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	b.mu.Lock()
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "tripped by me")
	b.mu.Unlock()
	require.ErrorContains(t, Send(t.Context(), dir, fallback.Trip, "api", "me"), "nothing to trip")
	require.ErrorContains(t, Send(t.Context(), dir, fallback.Clear, "none", "me"), `no service "none"`)
	require.ErrorContains(t, Send(t.Context(), dir, "boom", "api", "me"), "POST /trip/NAME")
	require.NoError(t, Send(t.Context(), dir, fallback.Clear, "api", "me"))
	stop()
	require.NoError(t, <-done)
	require.Equal(t, status.Migrating, b.phases["api"])
}

// FuzzDecode: whatever stands in the state file, reading it ends, and what was
// read can be gone on from.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{``, `{}`, `[]`, `{"a":{}}`, `{"a":{"version":1,"phase":"FallenBack"}}`, `{"a":{"version":9}}`, `{"a":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		states, _ := decode(text)
		for name, state := range states {
			s := service("api", nil)
			machine := fallback.New(configOf(&s), state)
			machine.Tick(fallback.Probes{}, noon)
			require.NotEmpty(t, machine.State().Phase, fmt.Sprint(name))
		}
	})
}

// complaint is what nginx's error log says of an answer, or a handshake, of
// the backend that another form has begun with.
func complaint(words, name, upstream string) string {
	return fmt.Sprintf(`*1 %s, client: 192.0.2.9, server: %s.test, request: "GET / HTTP/1.1", upstream: "%s/", host: "x"`, words, name, upstream)
}

const (
	oldAt = "http://192.0.2.1:80"
	newAt = "https://192.0.2.2:443"

	wordsReset = "recv() failed (104: Connection reset by peer) while reading upstream"
	wordsStall = "upstream timed out (110: Connection timed out) while reading upstream"
	wordsTLS   = "upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream"
)

func TestAnswersThatBreakOffTrip(t *testing.T) {
	t.Parallel()
	b := newBench(t.TempDir())
	b.table(t, service("api", nil), service("other", nil))
	for range 10 {
		b.Complaint(complaint(wordsReset, "api", oldAt), noon)
		b.Complaint(complaint(wordsReset, "api", "https://192.0.2.3:443"), noon)
		b.Complaint(complaint(wordsReset, "api", "http://192.0.2.2:443"), noon)
		b.Complaint(complaint(wordsReset, "nobody", newAt), noon)
		b.Complaint(complaint("upstream timed out (110: Connection timed out) while proxying upgraded connection", "api", newAt), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "not new's failures")
	b.broken = nil
	b.Complaint(complaint(wordsReset, "api", newAt), noon)
	b.Complaint(complaint(wordsReset, "api", newAt), noon)
	require.Equal(t, status.Migrating, b.phases["api"], "two of three")
	b.Complaint(complaint(wordsStall, "api", newAt), noon)
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "last: timeout ("+wordsStall+")")
	require.Equal(t, status.Migrating, b.phases["other"])
	require.Equal(t, []string{"api new reset", "api new reset", "api new timeout"}, b.broken)
}

func TestNobodyIsBlamedWhereBothSidesHaveTheAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t.TempDir())
	b.table(t, service("api", func(s *migration.Service) { s.OldBackend = s.NewBackend }))
	for range 10 {
		b.Complaint(complaint(wordsReset, "api", newAt), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"])
	require.Empty(t, b.broken)
}

func TestWithARatioBrokenAnswersWaitForTheirRequests(t *testing.T) {
	t.Parallel()
	b := newBench(t.TempDir())
	b.table(t, service("api", func(s *migration.Service) { s.Fallback.FailureRatio = 0.5 }))
	for range 5 {
		b.Complaint(complaint(wordsReset, "api", newAt), noon)
	}
	b.tick(noon)
	for range 11 {
		b.Batch(event("api", 200), noon) // comes late
	}
	b.tick(noon.Add(time.Second))
	require.Equal(t, status.Migrating, b.phases["api"], "5 of 11")
	b.Complaint(complaint(wordsReset, "api", newAt), noon)
	b.tick(noon.Add(2 * time.Second))
	b.tick(noon.Add(3 * time.Second))
	require.Equal(t, status.FallenBack, b.phases["api"], "6 of 11")
}

func TestTheEvidenceTellsWhyTLSFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBench(dir)
	b.table(t, service("api", nil))
	refused := event("api", 502)
	refused.New.Connected, refused.New.Replied = false, false
	for range 3 {
		b.Urgent(refused, noon)
	}
	require.Contains(t, b.reason, "last: connect")
	b.Complaint(complaint(wordsTLS, "api", newAt), noon.Add(50*time.Millisecond))
	require.Contains(t, b.reason, "last: tls ("+wordsTLS+")")
	require.Empty(t, b.broken, "the access log counts it")
	after := newBench(dir)
	after.table(t, service("api", nil))
	require.Contains(t, after.reason, "certificate has expired", "the state file has it")
}
