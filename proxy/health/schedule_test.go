package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
)

var (
	here    = netip.MustParseAddrPort("127.0.0.1:1")
	there   = netip.MustParseAddrPort("127.0.0.1:2")
	refused = &failed{fallback.FailureConnect, errors.New("refused")}
	check   = migration.HealthCheck{Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3}
	api     = Key{"api", migration.New}
)

func target(key Key) Target {
	return Target{
		Key: key, Spec: Spec{Check: check},
		Addresses: func() []netip.AddrPort { return []netip.AddrPort{here, there} },
	}
}

func demanded(key Key) Target {
	t := target(key)
	t.OnDemand = true
	return t
}

// script is a side that a test makes well or ill, and that notes who asks.
type script struct {
	mu       sync.Mutex
	answer   error
	dead     netip.AddrPort // refuses, whatever the answer
	hangs    bool
	times    []time.Time
	asked    []netip.AddrPort
	underWay map[Spec]int
	most     int // under way at once, for one Spec
}

func (s *script) probe(ctx context.Context, spec Spec, addr netip.AddrPort) error {
	answer, hangs := s.begin(spec, addr)
	if hangs {
		<-ctx.Done()
		answer = blame(ctx, fallback.FailureReset, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay[spec]--
	return answer
}

func (s *script) begin(spec Spec, addr netip.AddrPort) (error, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underWay == nil {
		s.underWay = map[Spec]int{}
	}
	s.times, s.asked = append(s.times, time.Now()), append(s.asked, addr)
	s.underWay[spec]++
	s.most = max(s.most, s.underWay[spec])
	if addr == s.dead {
		return refused, false
	}
	return s.answer, s.hangs
}

func (s *script) becomes(answer error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *script) hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = true
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

// running runs a checker in a bubble of its own time, and ends it.
func running(t *testing.T, options Options, s *script, body func(c *Checker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newChecker(options, s.probe)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Run(ctx)
		}()
		body(c)
		cancel()
		<-ended
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestOneLivingAddressIsEnough: a side with a dead address recovers, and is
// not taken for ill.
func TestOneLivingAddressIsEnough(t *testing.T) {
	t.Parallel()
	for _, dead := range []netip.AddrPort{here, there} {
		s := &script{dead: dead}
		running(t, Options{}, s, func(c *Checker) {
			c.Set([]Target{demanded(api)})
			c.Demand("api", true)
			pass(4 * check.Interval)
			require.Equal(t, fallback.Healthy, c.Result(api).Health, "dead: %s", dead)
			s.becomes(refused)
			pass(4 * check.Interval)
			require.Equal(t, fallback.Unhealthy, c.Result(api).Health, "both are dead")
			s.becomes(nil)
			pass(4 * check.Interval)
			require.Equal(t, fallback.Healthy, c.Result(api).Health)
			pass(20 * check.Interval)
			require.Positive(t, c.Result(api).Streak, "and stays so")
		})
	}
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	s := &script{}
	var changes atomic.Int32
	running(t, Options{OnChange: func(key Key) { changes.Add(1) }}, s, func(c *Checker) {
		c.Set([]Target{target(api)})
		seen := map[int]result{}
		watch := func(until int) {
			for s.count() < until {
				pass(100 * time.Millisecond)
				seen[s.count()] = c.Result(api)
			}
		}
		watch(2)
		require.Equal(t, fallback.Unknown, seen[1].Health, "one success is not two")
		require.Equal(t, fallback.Healthy, seen[2].Health)
		require.Equal(t, 2, seen[2].Streak)
		since := seen[2].Since
		s.becomes(refused)
		watch(5)
		require.Equal(t, fallback.Healthy, seen[4].Health, "two failures are not three")
		require.Equal(t, since, seen[4].Since)
		require.Equal(t, -3, seen[5].Streak)
		require.Equal(t, fallback.Unhealthy, seen[5].Health)
		require.Equal(t, "connect: refused", seen[5].LastError)
		require.True(t, seen[5].Down())
		require.Equal(t, fallback.Probes{New: fallback.Unhealthy, Error: "connect: refused"}, c.Probes("api"))
		s.becomes(errors.New("no descriptors left"))
		watch(9)
		require.Equal(t, -3, seen[9].Streak, "our own trouble says nothing about new")
		require.Equal(t, "no descriptors left", seen[9].LastError)
		s.becomes(nil)
		watch(11)
		require.Equal(t, fallback.Healthy, seen[11].Health)
		require.Empty(t, seen[11].LastError)
		require.EqualValues(t, 3, changes.Load())
	})
}

func TestIntervalHasJitterAndFailingAddressesTakeTurns(t *testing.T) {
	t.Parallel()
	s := &script{answer: refused}
	running(t, Options{}, s, func(c *Checker) {
		c.Set([]Target{target(api)})
		pass(10 * time.Minute)
	})
	pauses := map[time.Duration]bool{}
	for i := 1; i < len(s.times); i++ {
		pause := s.times[i].Sub(s.times[i-1])
		require.InDelta(t, check.Interval, pause, float64(check.Interval/10))
		pauses[pause.Round(time.Millisecond)] = true
		require.NotEqual(t, s.asked[i-1], s.asked[i])
	}
	require.InDelta(t, 120, len(s.times), 5)
	require.Greater(t, len(pauses), 20, "jitter")
}

func TestNeverTwoProbesOfOneTarget(t *testing.T) {
	t.Parallel()
	s := &script{}
	s.hang()
	running(t, Options{}, s, func(c *Checker) {
		one := demanded(api)
		one.Check.Interval = 10 * time.Millisecond // far below the timeout
		for range 200 {
			c.Set([]Target{one})
			c.Demand("api", true)
			pass(50 * time.Millisecond)
			c.Demand("api", false)
			c.Set(nil)
		}
		require.Greater(t, s.count(), 3)
		require.Equal(t, 1, s.most)
		pass(check.Timeout)
		require.Empty(t, c.entries, "what was taken away is forgotten")
		require.Empty(t, c.queue)
	})
}

func TestOnDemandIsProbedOnlyOnDemand(t *testing.T) {
	t.Parallel()
	s := &script{}
	running(t, Options{}, s, func(c *Checker) {
		c.Set([]Target{demanded(api)})
		pass(time.Hour)
		require.Zero(t, s.count())
		c.Demand("api", true)
		pass(time.Millisecond)
		require.Equal(t, 1, s.count(), "at once")
		pass(6 * time.Second)
		require.Equal(t, fallback.Healthy, c.Result(api).Health)
		c.Demand("api", true)
		require.Equal(t, fallback.Healthy, c.Result(api).Health)
		c.Demand("api", false)
		require.Equal(t, result{}, c.Result(api))
		asked := s.count()
		pass(time.Hour)
		require.Equal(t, asked, s.count())
		c.Demand("nobody", true)
	})
}

func TestSetKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := &script{}
	running(t, Options{}, s, func(c *Checker) {
		c.Set([]Target{target(api)})
		pass(15 * time.Second)
		before := c.Result(api)
		require.Equal(t, fallback.Healthy, before.Health)
		c.Set([]Target{target(api), target(Key{"web", migration.New})})
		require.Equal(t, before, c.Result(api))
		require.Len(t, c.Snapshot(), 2)
		other := target(api)
		other.Host = "other.example.com"
		c.Set([]Target{other})
		require.Equal(t, result{}, c.Result(api), "another question")
		require.Len(t, c.Snapshot(), 1)
		pass(15 * time.Second)
		require.Equal(t, fallback.Healthy, c.Result(api).Health)
	})
}

func TestAnswersToAnOldQuestionDoNotCount(t *testing.T) {
	t.Parallel()
	s := &script{}
	s.hang()
	running(t, Options{}, s, func(c *Checker) {
		one := demanded(api)
		c.Set([]Target{one})
		c.Demand("api", true)
		pass(time.Second)
		one.Host = "other.example.com"
		c.Set([]Target{one})
		pass(1100 * time.Millisecond) // the first probe has timed out
		require.Equal(t, result{}, c.Result(api))
		pass(2 * time.Second)
		require.Equal(t, -1, c.Result(api).Streak)
		require.Equal(t, fallback.FailureTimeout, c.Result(api).LastFailure)
	})
}

func TestTakenAwayWhileBusyIsForgotten(t *testing.T) {
	t.Parallel()
	s := &script{}
	running(t, Options{}, s, func(c *Checker) {
		c.Set([]Target{target(api)})
		pass(15 * time.Second)
		s.hang()
		for asked := s.count(); s.count() == asked; {
			pass(100 * time.Millisecond)
		}
		c.Set(nil)
		require.Empty(t, c.Snapshot())
		c.Set([]Target{target(api)})
		require.Equal(t, result{}, c.Result(api))
	})
}

func TestNoAddressIsDown(t *testing.T) {
	t.Parallel()
	nowhere := target(Key{"api", migration.Old})
	nowhere.Addresses = func() []netip.AddrPort { return nil }
	running(t, Options{}, &script{}, func(c *Checker) {
		c.Set([]Target{nowhere})
		pass(30 * time.Second)
		require.Equal(t, "connect: the name has no address", c.Result(nowhere.Key).LastError)
		require.True(t, c.Probes("api").OldDown)
	})
}

// TestThousandsOfTargetsThatHang: late probes, not many goroutines; and no
// target is left out.
func TestThousandsOfTargetsThatHang(t *testing.T) {
	t.Parallel()
	const services, workers = 5000, 32
	s := &script{}
	s.hang()
	running(t, Options{Workers: workers}, s, func(c *Checker) {
		before := runtime.NumGoroutine()
		targets := make([]Target, services)
		for i := range targets {
			targets[i] = target(Key{migration.Name(fmt.Sprintf("service-%d", i)), migration.New})
			targets[i].Host = string(targets[i].Service)
		}
		c.Set(targets)
		most := 0
		for range 400 { // 5000 targets at 16 a second take 313 s
			pass(time.Second)
			most = max(most, runtime.NumGoroutine()-before)
		}
		require.LessOrEqual(t, most, 2*workers+100, "other tests run beside this one")
		for key, result := range c.Snapshot() {
			require.NotZero(t, result.Streak, key)
		}
		require.Equal(t, 1, s.most)
	})
}

// TestDown: trips are held back by it, so it must not come from a probe that
// asks the wrong question.
func TestDown(t *testing.T) {
	t.Parallel()
	for failure, down := range map[fallback.Failure]bool{
		fallback.FailureConnect: true, fallback.FailureTLS: false, fallback.FailureTimeout: false,
		fallback.FailureReset: false, fallback.FailureStatus: false,
	} {
		require.Equal(t, down, result{Health: fallback.Unhealthy, LastFailure: failure}.Down(), failure)
		require.False(t, result{LastFailure: failure}.Down())
	}
}

func TestFor(t *testing.T) {
	t.Parallel()
	service := &migration.Service{
		Name: "api", OldHost: "api.old", NewHost: "api.new",
		OldBackend: migration.Backend{Scheme: migration.HTTPS, Host: "old.svc", Port: 443},
		NewBackend: migration.Backend{Scheme: migration.HTTPS, Host: "new.lb", Port: 443},
		TLS:        migration.TLS{Verify: true, ServerName: "sni.new", ClientCertFile: "/c.pem"},
	}
	addresses := func(b migration.Backend) []netip.AddrPort {
		return map[string][]netip.AddrPort{"old.svc": {here}, "new.lb": {there}}[b.Host]
	}
	targets := For(service, addresses)
	require.Len(t, targets, 1)
	require.True(t, targets[0].OnDemand)
	require.Equal(t, []netip.AddrPort{there}, targets[0].Addresses())

	service.HealthCheck = &migration.HealthCheck{Path: "/healthz"}
	targets = For(service, addresses)
	require.Len(t, targets, 2)
	require.Equal(t, "api.new", targets[0].Host)
	require.Equal(t, "sni.new", targets[0].ServerName)
	require.Equal(t, service.TLS, targets[0].TLS)
	require.False(t, targets[0].OnDemand)
	require.Equal(t, Key{"api", migration.Old}, targets[1].Key)
	require.Equal(t, "api.old", targets[1].Host)
	require.Empty(t, targets[1].TLS.ClientCertFile, "old is not new's")
	require.Equal(t, []netip.AddrPort{here}, targets[1].Addresses())

	service.OldHost = "*.old"
	targets = For(service, addresses)
	require.Empty(t, targets[1].Check.Path)
	require.Equal(t, migration.HTTP, targets[1].Backend.Scheme)
}
