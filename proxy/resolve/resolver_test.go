package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/migration-proxy/migration-proxy/migration"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errDown = errors.New("the server is down")

// zone is a Lookup that answers from a map; other names take until the timeout.
type zone struct {
	mu         sync.Mutex
	answers    map[string][]string
	lookups    int
	running    int
	maxRunning int
}

func (z *zone) set(host string, addrs ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.answers == nil {
		z.answers = map[string][]string{}
	}
	z.answers[host] = addrs
}

func (z *zone) count(change int) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.lookups += max(change, 0)
	z.running += change
	z.maxRunning = max(z.maxRunning, z.running)
}

func (z *zone) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	z.count(1)
	defer z.count(-1)
	z.mu.Lock()
	addrs, known := z.answers[host]
	z.mu.Unlock()
	if !known {
		<-ctx.Done()
		return nil, errDown
	}
	var parsed []netip.Addr
	for _, addr := range addrs {
		parsed = append(parsed, netip.MustParseAddr(addr))
	}
	return parsed, nil
}

func backend(t testing.TB, text string) migration.Backend {
	t.Helper()
	parsed, err := migration.ParseBackend(text)
	require.NoError(t, err)
	return parsed
}

func show(endpoints []netip.AddrPort) string { return fmt.Sprint(endpoints) }

func TestResolveSortsAndDoesNotLookUpAddresses(t *testing.T) {
	t.Parallel()
	names := &zone{}
	names.set("api.old", "10.0.0.2", "::ffff:10.0.0.1", "2001:db8::1", "10.0.0.2")
	api, again, literal := backend(t, "api.old:80"), backend(t, "api.old:81"), backend(t, "[2001:db8::7]:80")
	got := New(Options{Lookup: names}).Resolve(t.Context(), []migration.Backend{api, again, literal})
	require.Equal(t, "[10.0.0.1:80 10.0.0.2:80 [2001:db8::1]:80]", show(got.Endpoints[api]))
	require.Equal(t, "[10.0.0.1:81 10.0.0.2:81 [2001:db8::1]:81]", show(got.Endpoints[again]))
	require.Equal(t, "[[2001:db8::7]:80]", show(got.Endpoints[literal]))
	require.Equal(t, 1, names.lookups)
	require.Empty(t, got.Errors)
}

func TestResolveIsParallelAndWithinItsBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &zone{}
		names.set("good", "10.0.0.1")
		resolver := New(Options{Lookup: names, Network: "ip"})
		good := backend(t, "good:80")
		backends := []migration.Backend{good}
		for i := range 30 {
			backends = append(backends, backend(t, fmt.Sprintf("dead%d:80", i)))
		}
		start := time.Now()
		got := resolver.Resolve(t.Context(), backends)
		require.Equal(t, 4*time.Second, time.Since(start), "two rounds of sixteen")
		require.Equal(t, 16, names.maxRunning)
		require.Len(t, got.Errors, 30)
		require.Equal(t, "[10.0.0.1:80]", show(got.Endpoints[good]))

		for i := range 300 {
			backends = append(backends, backend(t, fmt.Sprintf("dead%d:80", 100+i)))
		}
		start = time.Now()
		got = resolver.Resolve(t.Context(), backends)
		require.Equal(t, 5*time.Second, time.Since(start))
		require.Len(t, got.Errors, 330)
	})
}

func TestRunKeepsAddressesWhenLookupsFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &zone{}
		names.set("api", "10.0.0.1")
		resolver, api := New(Options{Lookup: names, Network: "ip"}), backend(t, "api:80")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resolver.Resolve(ctx, []migration.Backend{api})
		go resolver.Run(ctx)

		names.set("api") // an answer without addresses
		time.Sleep(time.Hour)
		got := resolver.Current([]migration.Backend{api})
		require.Equal(t, "[10.0.0.1:80]", show(got.Endpoints[api]))
		require.ErrorContains(t, got.Errors[api], "no address")
		require.Empty(t, resolver.Changed(), "nothing for nginx to reload")

		names.set("api", "10.0.0.2")
		start := time.Now()
		<-resolver.Changed()
		require.Less(t, time.Since(start), 13*time.Second)
		got = resolver.Current([]migration.Backend{api})
		require.Equal(t, "[10.0.0.2:80]", show(got.Endpoints[api]), "the old one was last seen an hour ago")
		require.Empty(t, got.Errors)
	})
}

func TestRotatingAnswersBecomeOneSet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names, api := &zone{}, backend(t, "api:80")
		names.set("api", "10.0.0.1", "10.0.0.2")
		resolver := New(Options{Lookup: names, Network: "ip"})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		resolver.Resolve(ctx, []migration.Backend{api})
		go resolver.Run(ctx)

		changes := 0
		for i := range 40 {
			names.set("api", fmt.Sprintf("10.0.0.%d", 1+i%4), fmt.Sprintf("10.0.0.%d", 1+(i+1)%4))
			time.Sleep(12 * time.Second)
			changes += drain(resolver.Changed())
		}
		require.LessOrEqual(t, changes, 2, "only 10.0.0.3 and 10.0.0.4 are new")
		require.Len(t, resolver.Current([]migration.Backend{api}).Endpoints[api], 4)

		names.set("api", "10.0.0.1")
		time.Sleep(50 * time.Minute)
		require.Len(t, resolver.Current([]migration.Backend{api}).Endpoints[api], 4, "they may come back")
		time.Sleep(15 * time.Minute)
		require.Equal(t, "[10.0.0.1:80]", show(resolver.Current([]migration.Backend{api}).Endpoints[api]))
	})
}

func drain(changed <-chan struct{}) int {
	select {
	case <-changed:
		return 1
	default:
		return 0
	}
}

func TestUnwantedNamesAreDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &zone{}
		names.set("a", "10.0.0.1")
		names.set("b", "10.0.0.2")
		resolver := New(Options{Lookup: names, Network: "ip"})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go resolver.Run(ctx)
		resolver.Resolve(ctx, []migration.Backend{backend(t, "a:80")})
		resolver.Resolve(ctx, []migration.Backend{backend(t, "b:80")})
		time.Sleep(15 * time.Second)
		synctest.Wait()
		require.Empty(t, resolver.Current([]migration.Backend{backend(t, "a:80")}).Endpoints)
		require.Len(t, resolver.Current([]migration.Backend{backend(t, "b:80")}).Endpoints, 1)
	})
}

func TestAnAddressLingers(t *testing.T) {
	t.Parallel()
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	name, options := newCachedName(), Options{Network: "ip", Linger: time.Minute}.withDefaults()
	start := time.Unix(0, 0)
	name.addAnswer([]netip.Addr{a, b}, start, options)
	name.addAnswer([]netip.Addr{b}, start.Add(time.Minute-1), options)
	require.Len(t, name.lastSeen, 2)
	name.addAnswer([]netip.Addr{b}, start.Add(time.Minute), options)
	require.Equal(t, map[netip.Addr]time.Time{b: start.Add(time.Minute)}, name.lastSeen)
}

func TestResolveLooksUpOnlyNewNames(t *testing.T) {
	t.Parallel()
	names := &zone{}
	names.set("a", "10.0.0.1")
	names.set("b", "10.0.0.2")
	resolver := New(Options{Lookup: names, Network: "ip"})
	resolver.Resolve(t.Context(), []migration.Backend{backend(t, "a:80")})
	resolver.Resolve(t.Context(), []migration.Backend{backend(t, "a:80"), backend(t, "b:80")})
	require.Equal(t, 2, names.lookups)
}

func TestIntervalsAreRandom(t *testing.T) {
	t.Parallel()
	resolver := New(Options{Network: "ip"})
	intervals := map[time.Duration]bool{}
	for range 100 {
		interval := resolver.nextInterval()
		require.GreaterOrEqual(t, interval, 10*time.Second)
		require.LessOrEqual(t, interval, 12*time.Second)
		intervals[interval] = true
	}
	require.Greater(t, len(intervals), 50)
}
