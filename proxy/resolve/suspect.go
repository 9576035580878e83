package resolve

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Suspect says that no connection to an address could be made. Run then looks the
// names up that have the address, and drops those of their other addresses that no
// longer accept connections and that the name does not give any more. It returns at
// once.
func (r *Resolver) Suspect(address netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.suspects) < maxSuspects {
		r.suspects[address] = true
	}
	select {
	case r.suspected <- struct{}{}:
	default: // Run has not yet read the previous signal
	}
}

// maxSuspects limits the memory for addresses that fail.
const maxSuspects = 1000

// AddressesFailed tells whether addresses were dropped because they do not accept
// connections, since it was last called.
func (r *Resolver) AddressesFailed() bool { return r.failed.Swap(false) }

// verify handles the suspects. A name is looked up at most every other second
// because of them.
func (r *Resolver) verify(ctx context.Context) {
	ports := r.suspectNames(time.Now())
	if len(ports) == 0 {
		return
	}
	wanted := r.dropUnwanted()
	before := r.Current(wanted)
	names := make([]string, 0, len(ports))
	for name := range ports {
		names = append(names, name)
	}
	r.lookupAll(ctx, names)
	for name, port := range ports {
		r.dropDead(ctx, name, port)
	}
	r.signal(before, r.Current(wanted))
}

// suspectNames gives the names that have a suspect address, with its port, and
// forgets the suspects.
func (r *Resolver) suspectNames(now time.Time) map[string]uint16 {
	r.mu.Lock()
	defer r.mu.Unlock()
	ports := map[string]uint16{}
	for address := range r.suspects {
		for _, backend := range r.wanted {
			name := r.names[backend.Host]
			if name == nil || backend.Port != address.Port() || now.Sub(name.asked) < r.options.VerifyEvery {
				continue
			}
			if _, known := name.lastSeen[address.Addr().Unmap()]; known {
				ports[backend.Host] = backend.Port
			}
		}
	}
	clear(r.suspects)
	return ports
}

// dropDead drops the lingering addresses of a name that do not accept a connection.
func (r *Resolver) dropDead(ctx context.Context, host string, port uint16) {
	r.mu.Lock()
	lingering := r.names[host].lingering()
	r.mu.Unlock()
	dead := r.findDead(ctx, lingering, port)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, addr := range dead {
		if r.names[host].dropLingering(addr) {
			r.failed.Store(true)
		}
	}
}

func (r *Resolver) findDead(ctx context.Context, addrs []netip.Addr, port uint16) []netip.Addr {
	var mu sync.Mutex
	var dead []netip.Addr
	var group errgroup.Group
	group.SetLimit(r.options.Parallel)
	for _, addr := range addrs {
		group.Go(func() error {
			if r.accepts(ctx, netip.AddrPortFrom(addr, port)) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			dead = append(dead, addr)
			return nil
		})
	}
	_ = group.Wait()
	return slices.Clip(dead)
}

func (r *Resolver) accepts(ctx context.Context, address netip.AddrPort) bool {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	conn, err := r.options.Dial(ctx, "tcp", address.String())
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

func defaultDial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, network, address)
}
