package resolve

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/migration"
)

// dialing is a Dial that only the addresses of dead refuse.
func dialing(dead *atomic.Pointer[string]) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, _, address string) (net.Conn, error) {
		if strings.Contains(*dead.Load(), address) {
			return nil, errDown
		}
		conn, other := net.Pipe()
		return conn, other.Close()
	}
}

func startSuspicious(t *testing.T, names *zone) (*Resolver, *atomic.Pointer[string]) {
	dead := &atomic.Pointer[string]{}
	nobody := ""
	dead.Store(&nobody)
	resolver := New(Options{Lookup: names, Network: "ip", Dial: dialing(dead)})
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go resolver.Run(ctx)
	return resolver, dead
}

// TestAReplacedBackendIsFoundAtOnce: all addresses of a name are new ones, and the
// earlier ones refuse connections. One failed connection is enough; without it, the
// next lookup would come after ten seconds, and the earlier ones stay for a minute.
func TestAReplacedBackendIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names, api := &zone{}, backend(t, "api:80")
		names.set("api", "10.0.0.1", "10.0.0.2")
		resolver, dead := startSuspicious(t, names)
		resolver.Resolve(t.Context(), []migration.Backend{api})
		time.Sleep(3 * time.Second)

		names.set("api", "10.0.0.3")
		gone := "10.0.0.1:80 10.0.0.2:80"
		dead.Store(&gone)
		resolver.Suspect(netip.MustParseAddrPort("10.0.0.2:80"))
		begun := time.Now()
		<-resolver.Changed()
		require.Less(t, time.Since(begun), time.Second)
		require.True(t, resolver.AddressesFailed())
		require.Equal(t, "[10.0.0.3:80]", show(resolver.Current([]migration.Backend{api}).Endpoints[api]))
	})
}

// TestASuspectThatWorksStays: an address is not dropped because of one failure, nor
// does a backend that always fails cause a lookup for each request.
func TestASuspectThatWorksStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names, api := &zone{}, backend(t, "api:80")
		names.set("api", "10.0.0.1", "10.0.0.2")
		resolver, dead := startSuspicious(t, names)
		resolver.Resolve(t.Context(), []migration.Backend{api})
		time.Sleep(3 * time.Second)
		names.set("api", "10.0.0.1")
		gone := "10.0.0.1:80"
		dead.Store(&gone)
		lookups := names.lookups
		for range 100 {
			resolver.Suspect(netip.MustParseAddrPort("10.0.0.1:80"))
			resolver.Suspect(netip.MustParseAddrPort("10.0.0.2:80"))
			resolver.Suspect(netip.MustParseAddrPort("10.0.0.9:80"))
			time.Sleep(10 * time.Millisecond)
		}
		synctest.Wait()
		require.Empty(t, resolver.Changed())
		require.False(t, resolver.AddressesFailed())
		require.Equal(t, "[10.0.0.1:80 10.0.0.2:80]", show(resolver.Current([]migration.Backend{api}).Endpoints[api]))
		require.Equal(t, lookups+1, names.lookups)
	})
}

// TestALargeRotationSettles: each answer has 4 of 40 addresses. Once all are known
// nothing changes any more; an address that dies is dropped alone.
func TestALargeRotationSettles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names, api := &zone{}, backend(t, "api:80")
		dice := rand.New(rand.NewPCG(1, 2))
		some := func(of int) {
			var answer []string
			for _, i := range dice.Perm(of)[:4] {
				answer = append(answer, fmt.Sprintf("10.0.0.%d", 1+i))
			}
			names.set("api", answer...)
		}
		some(40)
		resolver, dead := startSuspicious(t, names)
		resolver.Resolve(t.Context(), []migration.Backend{api})
		rounds := func(n, of int) (changes int) {
			for range n {
				some(of)
				time.Sleep(12 * time.Second)
				changes += drain(resolver.Changed())
			}
			return changes
		}
		rounds(60, 40)
		require.Zero(t, rounds(100, 40))
		require.Len(t, resolver.Current([]migration.Backend{api}).Endpoints[api], 40)

		names.set("api", "10.0.0.1")
		time.Sleep(12 * time.Second)
		gone := "10.0.0.40:80"
		dead.Store(&gone)
		time.Sleep(2 * time.Second)
		resolver.Suspect(netip.MustParseAddrPort("10.0.0.40:80"))
		<-resolver.Changed()
		require.Len(t, resolver.Current([]migration.Backend{api}).Endpoints[api], 39)

		rounds(100, 200)
		require.LessOrEqual(t, len(resolver.Current([]migration.Backend{api}).Endpoints[api]), 64)
	})
}
