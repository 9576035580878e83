package resolve

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Lookup finds the addresses of a name; net.Resolver is one. The network is
// "ip" or "ip4".
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options are the parts and times of a Resolver. Zero means the default.
type Options struct {
	Lookup   Lookup        // Go's own resolver, which reads /etc/resolv.conf
	Network  string        // "ip", or "ip4" where no route leads to IPv6
	Every    time.Duration // between two lookups of a name; 10 s
	Jitter   time.Duration // maximum of a random time added to Every; a fifth of Every
	Timeout  time.Duration // of one lookup; 2 s
	Budget   time.Duration // of one Resolve, for all its lookups; 5 s
	Linger   time.Duration // how long an address stays after its last good answer; 60 s
	Parallel int           // lookups at a time; 16

	LingerRotating time.Duration // as Linger, where the name gives a changing part of its addresses; 1 h
	MaxRotating    int           // the number of addresses of such a name; 64
	VerifyEvery    time.Duration // between two lookups of a name because addresses fail; 2 s
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.Lookup == nil {
		o.Lookup = &net.Resolver{PreferGo: true}
	}
	if o.Network == "" {
		o.Network = usableNetwork()
	}
	if o.Parallel == 0 {
		o.Parallel = 16
	}
	o.Every = orDefault(o.Every, 10*time.Second)
	o.Jitter = orDefault(o.Jitter, o.Every/5)
	o.Timeout = orDefault(o.Timeout, 2*time.Second)
	o.Budget = orDefault(o.Budget, 5*time.Second)
	o.Linger = orDefault(o.Linger, time.Minute)
	o.LingerRotating = orDefault(o.LingerRotating, time.Hour)
	o.VerifyEvery = orDefault(o.VerifyEvery, 2*time.Second)
	if o.MaxRotating == 0 {
		o.MaxRotating = 64
	}
	if o.Dial == nil {
		o.Dial = defaultDial
	}
	return o
}

func orDefault(d, defaultValue time.Duration) time.Duration {
	if d == 0 {
		return defaultValue
	}
	return d
}

// usableNetwork leaves IPv6 out where there is no route: nginx would try those
// addresses in turn, and each failure would count against the backend.
// Dialing UDP sends nothing; it only looks for a route.
func usableNetwork() string {
	conn, err := net.Dial("udp6", "[2001:db8::1]:9")
	if err != nil {
		return "ip4"
	}
	_ = conn.Close()
	return "ip"
}

// Result is what the Resolver knew about some backends at one moment. Callers
// do not change it.
type Result struct {
	// Endpoints has the sorted addresses of each backend. A backend without
	// an address has no entry.
	Endpoints map[migration.Backend][]netip.AddrPort
	// Errors has the error of the last lookup of a backend's name, if it
	// failed. The backend may still have earlier addresses.
	Errors map[migration.Backend]error
}

// Resolver caches the addresses of names. Its methods may be called from any
// goroutine.
type Resolver struct {
	options   Options
	changed   chan struct{}
	suspected chan struct{} // there are suspects
	failed    atomic.Bool   // see AddressesFailed

	mu       sync.Mutex
	wanted   []migration.Backend
	names    map[string]*cachedName
	suspects map[netip.AddrPort]bool // see Suspect
}

// New returns a Resolver with an empty cache.
func New(options Options) *Resolver {
	return &Resolver{
		options: options.withDefaults(), changed: make(chan struct{}, 1), suspected: make(chan struct{}, 1),
		names: map[string]*cachedName{}, suspects: map[netip.AddrPort]bool{},
	}
}

// Changed receives one signal after Run has found other addresses, however
// many changes there were since the last signal was read.
func (r *Resolver) Changed() <-chan struct{} { return r.changed }

// Resolve returns the addresses of these backends, and makes them the ones
// that Run refreshes. It looks up only names that are not cached, which takes
// five seconds at most.
func (r *Resolver) Resolve(ctx context.Context, backends []migration.Backend) Result {
	ctx, cancel := context.WithTimeout(ctx, r.options.Budget)
	defer cancel()
	r.lookupAll(ctx, r.setWanted(backends))
	return r.Current(backends)
}

// setWanted returns the names that are not cached.
func (r *Resolver) setWanted(backends []migration.Backend) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = slices.Clone(backends)
	return slices.DeleteFunc(hosts(backends), func(host string) bool { return r.names[host] != nil })
}

// hosts lists the names of the backends, sorted and without duplicates. IP
// addresses are not names.
func hosts(backends []migration.Backend) []string {
	var all []string
	for _, backend := range backends {
		if _, literal := backend.Addr(); !literal {
			all = append(all, backend.Host)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// lookupAll looks names up, Parallel at a time, and caches the answers.
func (r *Resolver) lookupAll(ctx context.Context, hosts []string) {
	var group errgroup.Group
	group.SetLimit(r.options.Parallel)
	for _, host := range hosts {
		group.Go(func() error {
			r.lookup(ctx, host)
			return nil
		})
	}
	_ = group.Wait()
}

func (r *Resolver) lookup(ctx context.Context, host string) {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	addrs, err := r.options.Lookup.LookupNetIP(ctx, r.options.Network, host)
	if err == nil && len(addrs) == 0 {
		err = errors.New("the name has no address")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names[host] == nil {
		r.names[host] = newCachedName()
	}
	r.names[host].asked = time.Now()
	if err != nil {
		r.names[host].err = err
		return
	}
	r.names[host].addAnswer(addrs, time.Now(), r.options)
}

// Current returns the cached addresses of these backends, without a lookup.
func (r *Resolver) Current(backends []migration.Backend) Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := Result{Endpoints: map[migration.Backend][]netip.AddrPort{}, Errors: map[migration.Backend]error{}}
	for _, backend := range backends {
		if addr, literal := backend.Addr(); literal {
			result.Endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
		} else if name := r.names[backend.Host]; name != nil {
			name.addTo(result, backend)
		}
	}
	return result
}

// Failed gives the names whose last lookup failed, with its error.
func (r *Resolver) Failed() map[string]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	failed := map[string]error{}
	for name, cached := range r.names {
		if cached.err != nil {
			failed[name] = cached.err
		}
	}
	return failed
}

// Run refreshes the wanted names until ctx ends.
func (r *Resolver) Run(ctx context.Context) {
	timer := time.NewTimer(r.nextInterval())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.suspected:
			r.verify(ctx)
			continue
		case <-timer.C:
		}
		r.refresh(ctx)
		timer.Reset(r.nextInterval())
	}
}

// nextInterval is random, so that replicas do not send their queries at the
// same moment.
func (r *Resolver) nextInterval() time.Duration {
	return r.options.Every + rand.N(r.options.Jitter+1)
}

func (r *Resolver) refresh(ctx context.Context) {
	wanted := r.dropUnwanted()
	before := r.Current(wanted)
	r.lookupAll(ctx, hosts(wanted))
	r.signal(before, r.Current(wanted))
}

// signal tells the reader of Changed if there are other addresses than before.
func (r *Resolver) signal(before, now Result) {
	if sameEndpoints(before, now) {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default: // the reader has not yet read the previous signal
	}
}

// dropUnwanted removes names that are no longer wanted from the cache, and
// returns the wanted backends.
func (r *Resolver) dropUnwanted() []migration.Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := hosts(r.wanted)
	maps.DeleteFunc(r.names, func(host string, _ *cachedName) bool {
		_, found := slices.BinarySearch(wanted, host)
		return !found
	})
	return r.wanted
}

func sameEndpoints(a, b Result) bool {
	return maps.EqualFunc(a.Endpoints, b.Endpoints, slices.Equal[[]netip.AddrPort])
}
