package health

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	refused = &failedProbe{fallback.FailureConnect, errors.New("refused")}
	check   = migration.HealthCheck{Interval: 5 * time.Second, Timeout: 2 * time.Second, Healthy: 2, Unhealthy: 3}
	api     = Key{"api", migration.New}
)

func target(key Key) Target { return Target{Key: key, Spec: Spec{Check: check}} }

func onDemand(key Key) Target {
	t := target(key)
	t.OnDemand = true
	return t
}

// fakeBackend is a backend whose health a test sets. It records the probes.
type fakeBackend struct {
	mu        sync.Mutex
	addresses []netip.AddrPort
	err       error          // of each probe
	dead      netip.AddrPort // refuses connections, whatever err is
	hangs     bool
	times     []time.Time
	probed    []netip.AddrPort
	underWay  map[Spec]int
	maxOfSpec int // probes of one Spec under way at once
	maxInAll  int // probes under way at once
	changes   atomic.Int32
}

// Addresses implements Resolver.
func (s *fakeBackend) Addresses(migration.Backend) []netip.AddrPort { return s.addresses }

// ProbesChanged implements Observer.
func (s *fakeBackend) ProbesChanged(migration.Name) { s.changes.Add(1) }

func (s *fakeBackend) probe(ctx context.Context, spec Spec, addr netip.AddrPort) error {
	hangs, err := s.begin(spec, addr)
	if hangs {
		<-ctx.Done()
		err = classify(ctx, fallback.FailureReset, ctx.Err())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.underWay[spec]--
	return err
}

func (s *fakeBackend) begin(spec Spec, addr netip.AddrPort) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.underWay == nil {
		s.underWay = map[Spec]int{}
	}
	s.times, s.probed = append(s.times, time.Now()), append(s.probed, addr)
	s.underWay[spec]++
	s.maxOfSpec = max(s.maxOfSpec, s.underWay[spec])
	inAll := 0
	for _, n := range s.underWay {
		inAll += n
	}
	s.maxInAll = max(s.maxInAll, inAll)
	if addr == s.dead {
		return false, refused
	}
	return s.hangs, s.err
}

func (s *fakeBackend) setError(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *fakeBackend) hang() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hangs = true
}

func (s *fakeBackend) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.times)
}

// withChecker runs a checker against the backend, in a synctest bubble.
func withChecker(t *testing.T, s *fakeBackend, body func(c *Checker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if s.addresses == nil {
			s.addresses = []netip.AddrPort{here, there}
		}
		c := newChecker(Options{Resolver: s, Observer: s}, s.probe)
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

// TestOneHealthyAddressIsEnough: a side with a dead address recovers, and is
// not taken for ill.
func TestOneHealthyAddressIsEnough(t *testing.T) {
	t.Parallel()
	for _, dead := range []netip.AddrPort{here, there} {
		s := &fakeBackend{dead: dead}
		withChecker(t, s, func(c *Checker) {
			c.SetTargets([]Target{onDemand(api)})
			c.SetDemand("api", true)
			pass(4 * check.Interval)
			require.Equal(t, fallback.Healthy, c.Result(api).Health, "dead: %s", dead)
			s.setError(refused)
			pass(4 * check.Interval)
			require.Equal(t, fallback.Unhealthy, c.Result(api).Health, "both are dead")
			s.setError(nil)
			pass(4 * check.Interval)
			require.Equal(t, fallback.Healthy, c.Result(api).Health)
			pass(20 * check.Interval)
			require.Positive(t, c.Result(api).Streak, "and stays so")
		})
	}
}

func TestThresholds(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{}
	withChecker(t, s, func(c *Checker) {
		c.SetTargets([]Target{target(api)})
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
		s.setError(refused)
		watch(5)
		require.Equal(t, fallback.Healthy, seen[4].Health, "two failures are not three")
		require.Equal(t, -3, seen[5].Streak)
		require.Equal(t, fallback.Unhealthy, seen[5].Health)
		require.Equal(t, "connect: refused", seen[5].LastError)
		require.True(t, seen[5].down())
		require.Equal(t, fallback.Probes{New: fallback.Unhealthy, Error: "connect: refused"}, c.Probes("api"))
		s.setError(errors.New("no descriptors left"))
		watch(9)
		require.Equal(t, -3, seen[9].Streak, "our own trouble says nothing about new")
		require.Equal(t, "no descriptors left", seen[9].LastError)
		s.setError(nil)
		watch(11)
		require.Equal(t, fallback.Healthy, seen[11].Health)
		require.Empty(t, seen[11].LastError)
		require.EqualValues(t, 3, s.changes.Load())
	})
}

func TestIntervalHasJitterAndFailingAddressesTakeTurns(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{err: refused}
	withChecker(t, s, func(c *Checker) {
		c.SetTargets([]Target{target(api)})
		pass(10 * time.Minute)
	})
	pauses := map[time.Duration]bool{}
	for i := 1; i < len(s.times); i++ {
		pause := s.times[i].Sub(s.times[i-1])
		require.InDelta(t, check.Interval, pause, float64(check.Interval/10))
		pauses[pause.Round(time.Millisecond)] = true
		require.NotEqual(t, s.probed[i-1], s.probed[i])
	}
	require.InDelta(t, 120, len(s.times), 5)
	require.Greater(t, len(pauses), 20, "jitter")
}

func TestNeverTwoProbesOfOneTarget(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{}
	s.hang()
	withChecker(t, s, func(c *Checker) {
		frequent := onDemand(api)
		frequent.Check.Interval = 10 * time.Millisecond // far below the timeout
		for range 200 {
			c.SetTargets([]Target{frequent})
			c.SetDemand("api", true)
			pass(50 * time.Millisecond)
			c.SetDemand("api", false)
			c.SetTargets(nil)
		}
		require.Greater(t, s.count(), 3)
		require.Equal(t, 1, s.maxOfSpec)
		pass(check.Timeout)
		require.Empty(t, c.entries, "what was taken away is forgotten")
	})
}

func TestOnDemandTargetsAreProbedOnlyOnDemand(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{}
	withChecker(t, s, func(c *Checker) {
		c.SetTargets([]Target{onDemand(api)})
		pass(time.Hour)
		require.Zero(t, s.count())
		c.SetDemand("api", true)
		pass(time.Millisecond)
		require.Equal(t, 1, s.count(), "at once")
		pass(6 * time.Second)
		require.Equal(t, fallback.Healthy, c.Result(api).Health)
		c.SetDemand("api", true)
		require.Equal(t, fallback.Healthy, c.Result(api).Health)
		c.SetDemand("api", false)
		require.Equal(t, result{}, c.Result(api))
		asked := s.count()
		pass(time.Hour)
		require.Equal(t, asked, s.count())
		c.SetDemand("nobody", true)
	})
}

func TestSetKeepsResults(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{}
	withChecker(t, s, func(c *Checker) {
		c.SetTargets([]Target{target(api)})
		pass(15 * time.Second)
		before := c.Result(api)
		require.Equal(t, fallback.Healthy, before.Health)
		c.SetTargets([]Target{target(api), target(Key{"web", migration.New})})
		require.Equal(t, before, c.Result(api))
		require.Len(t, c.Results(), 2)
		other := target(api)
		other.Host = "other.example.com"
		c.SetTargets([]Target{other})
		require.Equal(t, result{}, c.Result(api), "another question")
		require.Len(t, c.Results(), 1)
		pass(15 * time.Second)
		require.Equal(t, fallback.Healthy, c.Result(api).Health)
	})
}

func TestResultsOfReplacedSpecsAreDropped(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{}
	s.hang()
	withChecker(t, s, func(c *Checker) {
		changed := onDemand(api)
		c.SetTargets([]Target{changed})
		c.SetDemand("api", true)
		pass(time.Second)
		changed.Host = "other.example.com"
		c.SetTargets([]Target{changed})
		pass(1100 * time.Millisecond) // the first probe has timed out
		require.Equal(t, result{}, c.Result(api))
		pass(2 * time.Second)
		require.Equal(t, -1, c.Result(api).Streak)
		require.Equal(t, fallback.FailureTimeout, c.Result(api).LastFailure)
	})
}

func TestTargetRemovedDuringProbe(t *testing.T) {
	t.Parallel()
	s := &fakeBackend{}
	withChecker(t, s, func(c *Checker) {
		c.SetTargets([]Target{target(api)})
		pass(15 * time.Second)
		s.hang()
		for asked := s.count(); s.count() == asked; {
			pass(100 * time.Millisecond)
		}
		c.SetTargets(nil)
		require.Empty(t, c.Results())
		c.SetTargets([]Target{target(api)})
		require.Equal(t, result{}, c.Result(api))
	})
}

func TestNoAddressIsDown(t *testing.T) {
	t.Parallel()
	nowhere := target(Key{"api", migration.Old})
	withChecker(t, &fakeBackend{addresses: []netip.AddrPort{}}, func(c *Checker) {
		c.SetTargets([]Target{nowhere})
		pass(30 * time.Second)
		require.Equal(t, "connect: the name has no address", c.Result(nowhere.Key).LastError)
		require.True(t, c.Probes("api").OldDown)
	})
}

// TestThousandsOfHangingTargets: their probes come late, and not all at once;
// no target is left out.
func TestThousandsOfHangingTargets(t *testing.T) {
	t.Parallel()
	const services = 5000
	s := &fakeBackend{}
	s.hang()
	withChecker(t, s, func(c *Checker) {
		targets := make([]Target, services)
		for i := range targets {
			targets[i] = target(Key{migration.Name(fmt.Sprintf("service-%d", i)), migration.New})
			targets[i].Host = string(targets[i].Service)
		}
		c.SetTargets(targets)
		pass(400 * time.Second) // 5000 targets at 16 a second take 313 s
		require.Equal(t, maxProbes, s.maxInAll)
		for key, result := range c.Results() {
			require.NotZero(t, result.Streak, key)
		}
		require.Equal(t, 1, s.maxOfSpec)
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
		require.Equal(t, down, result{Health: fallback.Unhealthy, LastFailure: failure}.down(), failure)
		require.False(t, result{LastFailure: failure}.down())
	}
}

func TestTargetsOf(t *testing.T) {
	t.Parallel()
	service := &migration.Service{
		Name: "api", OldHost: "api.old", NewHost: "api.new",
		OldBackend: migration.Backend{Scheme: migration.HTTPS, Host: "old.svc", Port: 443},
		NewBackend: migration.Backend{Scheme: migration.HTTPS, Host: "new.lb", Port: 443},
		TLS:        migration.TLS{Verify: true, ServerName: "sni.new", ClientCertFile: "/c.pem"},
	}
	targets := TargetsOf(service)
	require.Len(t, targets, 1)
	require.True(t, targets[0].OnDemand)
	require.Equal(t, service.NewBackend, targets[0].Backend)

	service.HealthCheck = &migration.HealthCheck{Path: "/healthz"}
	targets = TargetsOf(service)
	require.Len(t, targets, 2)
	require.Equal(t, "api.new", targets[0].Host)
	require.Equal(t, "sni.new", targets[0].ServerName)
	require.Equal(t, service.TLS, targets[0].TLS)
	require.False(t, targets[0].OnDemand)
	require.Equal(t, Key{"api", migration.Old}, targets[1].Key)
	require.Equal(t, "api.old", targets[1].Host)
	require.Empty(t, targets[1].TLS.ClientCertFile, "old is not new's")
	require.Equal(t, service.OldBackend, targets[1].Backend)

	service.OldHost = "*.old"
	targets = TargetsOf(service)
	require.Empty(t, targets[1].Check.Path)
	require.Equal(t, migration.HTTP, targets[1].Backend.Scheme)
}
