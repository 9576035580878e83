package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/errorlog"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
	"github.com/migration-proxy/migration-proxy/proxy/workermemory"
)

// urgency says how soon nginx needs addresses that have changed.
type urgency int

const (
	addressesDiffer   urgency = iota // nginx has others that work
	addressesFailed                  // some that nginx has do not accept connections
	addressesReplaced                // a backend has none of those that nginx has
)

// Names may change all the time, and each reload costs warm connections and leaves
// workers behind for as long as their websockets live.
const (
	firstPause  = 30 * time.Second
	maxPause    = 5 * time.Minute
	failedPause = 10 * time.Second
	// maxOldGenerations is how many times the number of workers may be left behind by
	// reloads. Addresses wait then, if they are not urgent; another reload ends the
	// oldest.
	maxOldGenerations = 4
)

// addressPace bounds the rate of reloads because of addresses. The first is at once;
// while names go on changing, the pause grows. A pause without a change as long again
// begins anew. With a change every second:
//
//	reloads at 0 s, 30 s, 90 s, 210 s, 450 s, then every 300 s
type addressPace struct {
	last  time.Time
	pause time.Duration // after last
}

func (p *addressPace) reloaded(now time.Time) {
	if p.pause == 0 || now.Sub(p.last) > 2*p.pause {
		p.pause = firstPause
	} else {
		p.pause = min(2*p.pause, maxPause)
	}
	p.last = now
}

// next is the earliest time of the next reload.
func (p *addressPace) next(u urgency) time.Time {
	switch u {
	case addressesReplaced:
		return p.last.Add(p.pause / 30) // 1 to 10 s
	case addressesFailed:
		return p.last.Add(min(p.pause, failedPause))
	}
	return p.last.Add(p.pause)
}

// changedAddresses are the addresses that nginx does not have yet.
type changedAddresses struct {
	pending, failed bool
	pace            addressPace
}

// noteAddresses is called when names have other addresses.
func (l *agentLoop) noteAddresses() {
	l.addresses.pending = l.wanted != nil
	l.addresses.failed = l.names.AddressesFailed() || l.addresses.failed
}

// takeAddresses makes the changed addresses the next to prepare, once they are due.
func (l *agentLoop) takeAddresses(now time.Time) {
	if l.addresses.pending && l.job == nil && l.addressesDue(now) {
		l.addresses.pace.reloaded(now)
		l.addresses.pending, l.addresses.failed, l.dirty = false, false, true
	}
}

// addressesDue tells whether nginx may get the changed addresses now.
func (l *agentLoop) addressesDue(now time.Time) bool {
	u := l.addressUrgency()
	return !now.Before(l.addresses.pace.next(u)) && (u != addressesDiffer || l.master.OldWorkers() < l.maxOldWorkers())
}

func (l *agentLoop) maxOldWorkers() int { return maxOldGenerations * max(l.options.Params.Workers, 1) }

func (l *agentLoop) addressUrgency() urgency {
	if l.table() == nil {
		return addressesReplaced
	}
	for backend, addresses := range l.names.Current(backends(l.table())).Endpoints {
		inUse := func(a netip.AddrPort) bool { return slices.Contains(l.served.endpoints[backend], a) }
		if !slices.ContainsFunc(addresses, inUse) {
			return addressesReplaced
		}
	}
	if l.addresses.failed {
		return addressesFailed
	}
	return addressesDiffer
}

// keepAddresses puts the addresses that nginx has in place of those that are not due
// yet, so that a change of something else does not bring them.
func keepAddresses(next, inUse nginxgen.Endpoints) {
	for backend := range next {
		if len(inUse[backend]) > 0 {
			next[backend] = inUse[backend]
		}
	}
}

// suspectLog reads in nginx's error log which addresses do not accept connections, and
// whether memory was refused.
type suspectLog struct {
	Observer
	names  *resolve.Resolver
	memory *workermemory.Guard
}

func (s suspectLog) NginxLogged(line string) {
	if strings.Contains(line, " while connecting to upstream,") {
		if c, ok := errorlog.Parse(line); ok && c.Stage == errorlog.Connecting {
			s.names.Suspect(c.Address)
		}
	}
	s.memory.Observe(line, time.Now())
	s.Observer.NginxLogged(line)
}
