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
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Lookup finds a name's addresses; net.Resolver is one. Network is "ip" or
// "ip4".
type Lookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options are a Resolver's parts and times. Zero means the default.
type Options struct {
	Lookup   Lookup        // Go's own resolver, which reads /etc/resolv.conf
	Network  string        // "ip", or "ip4" where no route leads to IPv6
	Every    time.Duration // between two lookups of a name; 10 s
	Jitter   time.Duration // added to Every, at random up to this; a fifth of Every
	Timeout  time.Duration // of one lookup; 2 s
	Budget   time.Duration // of one Resolve, however many names do not answer; 5 s
	Linger   time.Duration // how long an address outlives its last good answer; 60 s
	Parallel int           // lookups at a time; 16
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
	return o
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// usableNetwork leaves IPv6 out where it leads nowhere: nginx would try those
// addresses in turn, and each failure would count against the backend.
// Dialling UDP sends nothing, it only asks for a route.
func usableNetwork() string {
	conn, err := net.Dial("udp6", "[2001:db8::1]:9")
	if err != nil {
		return "ip4"
	}
	_ = conn.Close()
	return "ip"
}

// Snapshot is what was known at one moment. Read only.
type Snapshot struct {
	// Endpoints holds each backend's addresses, sorted, never none: a backend
	// that has none is missing.
	Endpoints map[migration.Backend][]netip.AddrPort
	// Errors tells why a name was not resolved lately; it may still have
	// addresses from before.
	Errors map[migration.Backend]error
}

// Resolver remembers names. Its methods may be called from any goroutine.
type Resolver struct {
	options Options
	changed chan struct{}

	mu     sync.Mutex
	wanted []migration.Backend
	names  map[string]*name
}

// New makes a Resolver that knows nothing yet.
func New(options Options) *Resolver {
	return &Resolver{options: options.withDefaults(), changed: make(chan struct{}, 1), names: map[string]*name{}}
}

// Changed says, once for any number of changes since the last time, that
// Run has found other addresses.
func (r *Resolver) Changed() <-chan struct{} { return r.changed }

// Resolve gives the addresses of these backends, which from now on are the
// ones that Run keeps fresh. Names that were asked before are not asked
// again; the others take as long as DNS does, five seconds at most.
func (r *Resolver) Resolve(ctx context.Context, backends []migration.Backend) Snapshot {
	ctx, cancel := context.WithTimeout(ctx, r.options.Budget)
	defer cancel()
	r.ask(ctx, r.want(backends))
	return r.Snapshot(backends)
}

// want gives the names that were never asked.
func (r *Resolver) want(backends []migration.Backend) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = slices.Clone(backends)
	var unknown []string
	for _, host := range hosts(backends) {
		if r.names[host] == nil {
			unknown = append(unknown, host)
		}
	}
	return unknown
}

// hosts gives each name once, sorted; IP addresses need no asking.
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

// ask looks names up, some at a time, and remembers the answers.
func (r *Resolver) ask(ctx context.Context, hosts []string) {
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
		r.names[host] = &name{seen: map[netip.Addr]time.Time{}}
	}
	if err != nil {
		r.names[host].err = err
		return
	}
	r.names[host].answer(addrs, time.Now(), r.options.Linger)
}

// Snapshot gives what is known of these backends now, without asking.
func (r *Resolver) Snapshot(backends []migration.Backend) Snapshot {
	r.mu.Lock()
	defer r.mu.Unlock()
	snapshot := Snapshot{Endpoints: map[migration.Backend][]netip.AddrPort{}, Errors: map[migration.Backend]error{}}
	for _, backend := range backends {
		if addr, literal := backend.Addr(); literal {
			snapshot.Endpoints[backend] = []netip.AddrPort{netip.AddrPortFrom(addr, backend.Port)}
		} else if name := r.names[backend.Host]; name != nil {
			name.enter(snapshot, backend)
		}
	}
	return snapshot
}

// Run asks for the wanted names again and again until ctx ends.
func (r *Resolver) Run(ctx context.Context) {
	timer := time.NewTimer(r.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		r.refresh(ctx)
		timer.Reset(r.pause())
	}
}

// pause differs from replica to replica, so that they do not ask in step.
func (r *Resolver) pause() time.Duration {
	return r.options.Every + rand.N(r.options.Jitter+1)
}

func (r *Resolver) refresh(ctx context.Context) {
	wanted := r.forget()
	before := r.Snapshot(wanted)
	r.ask(ctx, hosts(wanted))
	if ctx.Err() != nil || same(before, r.Snapshot(wanted)) {
		return
	}
	select {
	case r.changed <- struct{}{}:
	default: // it was said already and not heard yet
	}
}

// forget drops the names that are no longer wanted, and gives the backends
// that are.
func (r *Resolver) forget() []migration.Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := hosts(r.wanted)
	maps.DeleteFunc(r.names, func(host string, _ *name) bool {
		_, found := slices.BinarySearch(kept, host)
		return !found
	})
	return r.wanted
}

func same(a, b Snapshot) bool {
	return maps.EqualFunc(a.Endpoints, b.Endpoints, slices.Equal[[]netip.AddrPort])
}
