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

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/accesslog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// fakeAgent is a breaker with an Agent that records the phases.
type fakeAgent struct {
	*Breaker
	counters *accesslog.Counters
	phases   map[migration.Name]status.Phase
	reason   string // of the last phase
}

func newBreaker(dir string) *fakeAgent {
	a := &fakeAgent{phases: map[migration.Name]status.Phase{}, counters: accesslog.NewCounters(noon)}
	a.Breaker = New(Options{
		StateFile: filepath.Join(dir, "fallback.json"), Agent: a, Counters: a.counters, Log: slog.New(slog.DiscardHandler),
	})
	return a
}

// SetFallback implements Agent.
func (a *fakeAgent) SetFallback(name migration.Name, phase status.Phase, reason string) {
	a.phases[name], a.reason = phase, reason
}

// Addresses implements Agent: the hosts are addresses.
func (a *fakeAgent) Addresses(backend migration.Backend) []netip.AddrPort {
	return []netip.AddrPort{netip.MustParseAddrPort(backend.HostPort())}
}

// TrustedFile implements Agent.
func (a *fakeAgent) TrustedFile(file string) string { return file }

// KeyPair implements Agent.
func (a *fakeAgent) KeyPair(cert, key string) (certCopy, keyCopy string) { return cert, key }

// failures gives the counted failures, by "SERVICE SIDE KIND".
func (a *fakeAgent) failures(t *testing.T) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(a.counters)
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "migration_proxy_upstream_failures_total" {
			continue
		}
		for _, metric := range family.GetMetric() {
			label := map[string]string{}
			for _, pair := range metric.GetLabel() {
				label[pair.GetName()] = pair.GetValue()
			}
			found[label["service"]+" "+label["side"]+" "+label["kind"]] = metric.GetCounter().GetValue()
		}
	}
	return found
}

func serviceRow(name string, change func(*migration.Service)) migration.Service {
	s := migration.Service{
		Name: migration.Name(name), OldHost: migration.Host(name + ".test"), PathPrefix: "/", Enabled: true, Share: 5000, Timeout: time.Minute,
		OldBackend: migration.Backend{Scheme: migration.HTTP, Host: "192.0.2.1", Port: 80},
		NewBackend: migration.Backend{Scheme: migration.HTTPS, Host: "192.0.2.2", Port: 443},
		Fallback:   migration.Fallback{Enabled: true, MaxFailures: 3, Window: time.Minute, RecoveryTime: time.Minute, OnStatus: []int{503}},
	}
	if change != nil {
		change(&s)
	}
	return s
}

func (a *fakeAgent) setTable(t *testing.T, services ...migration.Service) {
	t.Helper()
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	a.counters.SetServices(names(services), noon)
	a.SetTable(table, noon)
}

func names(services []migration.Service) []string {
	var all []string
	for i := range services {
		all = append(all, string(services[i].Name))
	}
	return all
}

// event is a request that new answered with a status.
func event(name string, code int) *accesslog.Event {
	return &accesslog.Event{
		Service: []byte(name), RequestID: []byte("id"),
		New: accesslog.Upstream{Tries: 1, Status: code, Connected: true, Replied: true},
	}
}

func TestEachFailureCountsOnce(t *testing.T) {
	t.Parallel()
	b := newBreaker(t.TempDir())
	b.setTable(t, serviceRow("api", nil), serviceRow("other", nil))
	require.Equal(t, status.Migrating, b.phases["api"], "set at the start")
	for range 10 { // the batch repeats the lines that came at once
		b.ObserveRequest(event("api", 503), noon)
	}
	for range 2 {
		b.ObserveFailure(event("api", 503), noon)
	}
	b.ObserveFailure(event("api", 404), noon)
	b.ObserveFailure(event("unknown", 503), noon)
	require.Equal(t, status.Migrating, b.phases["api"], "two failures of three")
	b.ObserveFailure(event("api", 503), noon)
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "3 of 3 requests to new failed within 1m0s, last: status 503, requests id")
	require.Equal(t, status.Migrating, b.phases["other"])
}

// TestNewIsBlamedForClientsThatWaitedLongEnough: nginx waits for the answer to a request
// for a stream as long as the client does.
func TestNewIsBlamedForClientsThatWaitedLongEnough(t *testing.T) {
	t.Parallel()
	b := newBreaker(t.TempDir())
	b.setTable(t, serviceRow("api", nil))
	left := func(after time.Duration, replied bool, old accesslog.Upstream) *accesslog.Event {
		return &accesslog.Event{
			Service: []byte("api"), RequestID: []byte("id"), Status: 499, Old: old,
			New: accesslog.Upstream{Tries: 1, Connected: true, Replied: replied, Latency: after},
		}
	}
	for range 10 {
		b.ObserveFailure(left(58*time.Second, false, accesslog.Upstream{}), noon)
		b.ObserveFailure(left(-1, false, accesslog.Upstream{}), noon)
		b.ObserveFailure(left(time.Hour, true, accesslog.Upstream{}), noon)
		b.ObserveFailure(left(time.Hour, false, accesslog.Upstream{Tries: 1}), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "the clients' own business")
	for range 3 {
		b.ObserveFailure(left(59*time.Second, false, accesslog.Upstream{}), noon)
	}
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "timeout")
}

func TestBatchesJudgeARatio(t *testing.T) {
	t.Parallel()
	b := newBreaker(t.TempDir())
	b.setTable(t, serviceRow("api", func(s *migration.Service) { s.Fallback.FailureRatio = 0.5 }))
	for range 10 {
		b.ObserveFailure(event("api", 503), noon)
		b.ObserveRequest(event("api", 200), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "lines that came at once do not count")
	for range 9 {
		b.ObserveRequest(event("api", 503), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "9 of 19")
	b.ObserveRequest(event("api", 503), noon)
	require.Equal(t, status.FallenBack, b.phases["api"], "10 of 20")
}

func TestARestartForgetsNoFallbackAndStartsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBreaker(dir)
	b.setTable(t, serviceRow("api", nil), serviceRow("well", nil))
	for range 3 {
		b.ObserveFailure(event("api", 503), noon)
	}
	for range 2 {
		b.ObserveFailure(event("well", 503), noon)
	}
	until := b.services["api"].machine.State().Until
	after := newBreaker(dir)
	require.Equal(t, map[migration.Name]status.Phase{"api": status.FallenBack}, after.phases, "before any table is in force")
	after.setTable(t, serviceRow("api", nil), serviceRow("well", nil))
	require.Equal(t, map[migration.Name]status.Phase{"api": status.FallenBack, "well": status.Migrating}, after.phases)
	require.True(t, until.Equal(after.services["api"].machine.State().Until), "the hold-off goes on where it was")
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
			b := newBreaker(t.TempDir())
			b.setTable(t, serviceRow("api", nil))
			for range 3 {
				b.ObserveFailure(event("api", 503), noon)
			}
			require.Equal(t, status.FallenBack, b.phases["api"])
			b.setTable(t, serviceRow("api", edit))
			require.Equal(t, status.Migrating, b.phases["api"])
		})
	}
}

func TestADroppedServiceIsForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := newBreaker(dir)
	trip := func() {
		require.NoError(t, b.Command(Order{fallback.Trip, "api", "me"}, noon))
		require.Equal(t, status.FallenBack, b.phases["api"])
	}
	b.setTable(t, serviceRow("api", nil))
	trip()
	b.setTable(t, serviceRow("other", nil))
	b.setTable(t, serviceRow("api", nil))
	require.Equal(t, status.Migrating, b.phases["api"])
	b = newBreaker(dir)
	b.setTable(t, serviceRow("api", nil))
	require.Equal(t, status.Migrating, b.phases["api"], "a restart does not bring it back")
	trip()
	newBreaker(dir).setTable(t, serviceRow("other", nil))
	b = newBreaker(dir)
	b.setTable(t, serviceRow("api", nil))
	require.Equal(t, status.Migrating, b.phases["api"], "it was dropped while no breaker ran")
}

func TestUnusableStateFileDoesNotStopTheBreaker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := `"good": {"version": 1, "phase": "FallenBack", "manual": true, "since": "2026-01-01T00:00:00Z", "code": "operator_trip"}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "fallback.json"), []byte(`{"bad": 7, `+good+`}`), 0o600))
	b := newBreaker(dir)
	b.setTable(t, serviceRow("good", nil), serviceRow("bad", nil))
	require.Equal(t, map[migration.Name]status.Phase{"good": status.FallenBack, "bad": status.Migrating}, b.phases)
	require.NoError(t, os.RemoveAll(dir))
	for range 3 {
		b.ObserveFailure(event("bad", 503), noon)
	}
	require.Equal(t, status.FallenBack, b.phases["bad"])
}

// TestOperatorCommands sends commands through the socket, as the CLI does.
func TestOperatorCommands(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "breaker") // short: a unix socket's path has 107 bytes
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := newBreaker(dir)
	b.setTable(t, serviceRow("api", nil))
	require.ErrorContains(t, SendCommand(t.Context(), dir, Order{fallback.Trip, "api", "me"}), "no agent answers")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- b.ServeCommands(ctx, dir) }()
	require.Eventually(t, func() bool { return SendCommand(t.Context(), dir, Order{fallback.Trip, "api", "me"}) == nil }, 5*time.Second, time.Millisecond)
	before, err := os.ReadFile(filepath.Join(dir, "fallback.json"))
	require.NoError(t, err)
	plan, err := AskPlan(t.Context(), dir, Order{fallback.Clear, "api", "me"})
	require.NoError(t, err)
	require.Contains(t, plan, "service api would go from FallenBack to Migrating: cleared by me")
	require.Contains(t, plan, `fallback.json would have for it: {"version":`)
	after, err := os.ReadFile(filepath.Join(dir, "fallback.json"))
	require.NoError(t, err)
	require.Equal(t, string(before), string(after))
	_, err = AskPlan(t.Context(), dir, Order{fallback.Trip, "api", "me"})
	require.ErrorContains(t, err, "nothing to trip")
	info, err := os.Stat(filepath.Join(dir, controlFolder))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "no other user reaches the socket")
	b.mu.Lock()
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "tripped by me")
	b.mu.Unlock()
	require.ErrorContains(t, SendCommand(t.Context(), dir, Order{fallback.Trip, "api", "me"}), "nothing to trip")
	require.ErrorContains(t, SendCommand(t.Context(), dir, Order{fallback.Clear, "none", "me"}), `no service "none"`)
	require.ErrorContains(t, SendCommand(t.Context(), dir, Order{"boom", "api", "me"}), "POST /trip/NAME")
	require.NoError(t, SendCommand(t.Context(), dir, Order{fallback.Clear, "api", "me"}))
	stop()
	require.NoError(t, <-done)
	require.Equal(t, status.Migrating, b.phases["api"])
}

// FuzzParseStates: a breaker can continue from any state that was read.
func FuzzParseStates(f *testing.F) {
	for _, seed := range []string{``, `{}`, `[]`, `{"a":{}}`, `{"a":{"version":1,"phase":"FallenBack"}}`, `{"a":{"version":9}}`, `{"a":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		states, _ := parseStates(text)
		for name, state := range states {
			s := serviceRow("api", nil)
			machine := fallback.New(configOf(&s), state)
			machine.Tick(fallback.Probes{}, noon)
			require.NotEmpty(t, machine.State().Phase, fmt.Sprint(name))
		}
	})
}

// errorLine is a line of nginx's error log about a request to upstream.
func errorLine(message, name, upstream string) string {
	return fmt.Sprintf(`*1 %s, client: 192.0.2.9, server: %s.test, request: "GET / HTTP/1.1", upstream: "%s/", host: "x"`, message, name, upstream)
}

const (
	oldAt = "http://192.0.2.1:80"
	newAt = "https://192.0.2.2:443"

	messageReset  = "recv() failed (104: Connection reset by peer) while reading upstream"
	messageClosed = "upstream prematurely closed connection while reading upstream"
	messageTLS    = "upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking to upstream"
)

func TestAnswersThatBreakOffTrip(t *testing.T) {
	t.Parallel()
	b := newBreaker(t.TempDir())
	b.setTable(t, serviceRow("api", nil), serviceRow("other", nil))
	for range 10 {
		b.ObserveErrorLog(errorLine(messageReset, "api", oldAt), noon)
		b.ObserveErrorLog(errorLine(messageReset, "api", "https://192.0.2.3:443"), noon)
		b.ObserveErrorLog(errorLine(messageReset, "api", "http://192.0.2.2:443"), noon)
		b.ObserveErrorLog(errorLine(messageReset, "nobody", newAt), noon)
		b.ObserveErrorLog(compared(errorLine(messageReset, "api", newAt)), noon)
		b.ObserveErrorLog(errorLine("upstream timed out (110: Connection timed out) while proxying upgraded connection", "api", newAt), noon)
		b.ObserveErrorLog(errorLine("upstream timed out (110: Connection timed out) while reading upstream", "api", newAt), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"], "not new's failures")
	b.ObserveErrorLog(errorLine(messageReset, "api", newAt), noon)
	b.ObserveErrorLog(errorLine(messageReset, "api", newAt), noon)
	require.Equal(t, status.Migrating, b.phases["api"], "two of three")
	b.ObserveErrorLog(errorLine(messageClosed, "api", newAt), noon)
	require.Equal(t, status.FallenBack, b.phases["api"])
	require.Contains(t, b.reason, "last: reset ("+messageClosed+")")
	require.Equal(t, status.Migrating, b.phases["other"])
	require.Equal(t, map[string]float64{"api old reset": 10, "api new reset": 3}, b.failures(t))
}

func TestNoSideIsBlamedWhenBothHaveTheAddress(t *testing.T) {
	t.Parallel()
	b := newBreaker(t.TempDir())
	b.setTable(t, serviceRow("api", func(s *migration.Service) { s.OldBackend = s.NewBackend }))
	for range 10 {
		b.ObserveErrorLog(errorLine(messageReset, "api", newAt), noon)
	}
	require.Equal(t, status.Migrating, b.phases["api"])
	require.Empty(t, b.failures(t))
}

func TestBrokenAnswersWaitForTheirRequestsWithARatio(t *testing.T) {
	t.Parallel()
	b := newBreaker(t.TempDir())
	b.setTable(t, serviceRow("api", func(s *migration.Service) { s.Fallback.FailureRatio = 0.5 }))
	for range 5 {
		b.ObserveErrorLog(errorLine(messageReset, "api", newAt), noon)
	}
	b.tick(noon)
	for range 11 {
		b.ObserveRequest(event("api", 200), noon) // a late batch
	}
	b.tick(noon.Add(time.Second))
	require.Equal(t, status.Migrating, b.phases["api"], "5 of 11")
	b.ObserveErrorLog(errorLine(messageReset, "api", newAt), noon)
	b.tick(noon.Add(2 * time.Second))
	b.tick(noon.Add(3 * time.Second))
	require.Equal(t, status.FallenBack, b.phases["api"], "6 of 11")
}

func TestEvidenceHasTheTLSError(t *testing.T) {
	t.Parallel()
	dir, refused := t.TempDir(), event("api", 502)
	b := newBreaker(dir)
	b.setTable(t, serviceRow("api", nil))
	refused.New.Connected, refused.New.Replied = false, false
	for range 3 {
		b.ObserveFailure(refused, noon)
	}
	require.Contains(t, b.reason, "last: connect")
	b.ObserveErrorLog(errorLine(messageTLS, "api", newAt), noon.Add(50*time.Millisecond))
	require.Contains(t, b.reason, "last: tls ("+messageTLS+")")
	require.Empty(t, b.failures(t), "the access log counts it")
	after := newBreaker(dir)
	after.setTable(t, serviceRow("api", nil))
	require.Contains(t, after.reason, "certificate has expired", "the state file has it")
}
