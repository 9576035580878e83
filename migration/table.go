package migration

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Global has the settings for all services.
type Global struct {
	TrustedProxies []netip.Prefix // sorted; the proxy trusts X-Forwarded-For from these networks
	DebugHeaders   bool           // responses have X-Migration-Side and X-Migration-Reason
	// DropInvalidHeaders drops request headers whose names have other characters than
	// letters, digits and '-', for backends and rules: nginx's word for them is invalid.
	DropInvalidHeaders bool           `json:",omitempty"`
	CacheBytes         int64          `json:",omitempty"` // what the caches of all services may have on disk; 0 without a cache
	Freeze             []Freeze       `json:",omitempty"` // no ramp rises then
	Notify             []NotifyTarget `json:",omitempty"` // who is told what happens
}

// Table is a whole migration config. It is immutable and sorted by service name. Names
// are unique, and so are the pairs (old host, path prefix).
type Table struct {
	global   Global
	services []Service
	byName   map[Name]int
	byHost   map[Host][]int    // longest path prefix first, then the last by alphabet
	rest     [sha256.Size]byte // digest of everything except share, enabled and what follows
	ramps    [sha256.Size]byte // digest of ramps, freezes and notify targets
	digest   string
}

// NewTable sorts the services and refuses duplicates. The table uses the arguments
// themselves, not copies: the caller must not change them later.
func NewTable(global Global, services []Service) (*Table, error) {
	table := &Table{global: global, services: services, byName: map[Name]int{}, byHost: map[Host][]int{}}
	slices.SortFunc(table.services, func(a, b Service) int { return cmp.Compare(a.Name, b.Name) })
	routes := map[string]Name{}
	for i := range table.services {
		service := &table.services[i]
		if _, twice := table.byName[service.Name]; twice {
			return nil, fmt.Errorf("two services are named %q", service.Name)
		}
		route := string(service.OldHost) + string(service.PathPrefix)
		if other, twice := routes[route]; twice {
			return nil, fmt.Errorf("services %q and %q both have %s", other, service.Name, route)
		}
		routes[route] = service.Name
		table.byName[service.Name] = i
		table.byHost[service.OldHost] = append(table.byHost[service.OldHost], i)
	}
	for _, indexes := range table.byHost {
		slices.SortFunc(indexes, func(a, b int) int {
			one, other := table.services[a].PathPrefix, table.services[b].PathPrefix
			return cmp.Or(cmp.Compare(len(other), len(one)), cmp.Compare(other, one))
		})
	}
	if err := errors.Join(table.sumStructure(), table.sumRamps()); err != nil {
		return nil, fmt.Errorf("digest of the migration table: %w", err)
	}
	table.digest = table.sum()
	return table, nil
}

// sumStructure computes the digest of everything that nginx needs, without the shares, from
// canonical JSON.
func (t *Table) sumStructure() error {
	text, err := json.Marshal(t.global.structure())
	all := sha256.New()
	all.Write(text)
	for i := range t.services {
		text, oneErr := json.Marshal(t.services[i].structure())
		err = errors.Join(err, oneErr)
		all.Write(text)
	}
	all.Sum(t.rest[:0])
	return err
}

// structure is what nginx needs.
func (g Global) structure() Global {
	g.Freeze, g.Notify = nil, nil
	return g
}

// sumRamps computes the digest of what only the leader reads: ramps, freezes and notify
// targets. It stays zero without any.
func (t *Table) sumRamps() error {
	ramps := map[Name]*Ramp{}
	for i := range t.services {
		if ramp := t.services[i].Ramp; ramp != nil {
			ramps[t.services[i].Name] = ramp
		}
	}
	if len(ramps) == 0 && len(t.global.Freeze) == 0 && len(t.global.Notify) == 0 {
		return nil
	}
	text, err := json.Marshal(struct {
		Freeze []Freeze
		Ramps  map[Name]*Ramp
		Notify []NotifyTarget `json:",omitempty"`
	}{t.global.Freeze, ramps, t.global.Notify})
	t.ramps = sha256.Sum256(text)
	return err
}

// sum is the digest of the structure, of what the leader reads, and of each share and
// enabled: 16 hex digits.
func (t *Table) sum() string {
	text := append(make([]byte, 0, len(t.rest)+len(t.ramps)+12*len(t.services)), t.rest[:]...)
	if t.ramps != ([sha256.Size]byte{}) {
		text = append(text, t.ramps[:]...)
	}
	for i := range t.services {
		text = strconv.AppendInt(text, int64(t.services[i].Share), 10)
		text = strconv.AppendBool(append(text, ' '), t.services[i].Enabled)
		text = append(text, '\n')
	}
	all := sha256.Sum256(text)
	return hex.EncodeToString(all[:8])
}

// WithShare gives a table in which one service has another share; nil if the service
// does not exist. It takes microseconds for a thousand services, and NewTable takes
// milliseconds.
func (t *Table) WithShare(name Name, share Share) *Table {
	return t.with(name, func(s *Service) { s.Share = share })
}

// WithEnabled gives a table in which one service has another value of enabled; nil if
// the service does not exist.
func (t *Table) WithEnabled(name Name, enabled bool) *Table {
	return t.with(name, func(s *Service) { s.Enabled = enabled })
}

// with gives a table with a change of one service. It may change share and enabled
// only, because the digest of the structure stays.
func (t *Table) with(name Name, change func(*Service)) *Table {
	i, ok := t.byName[name]
	if !ok {
		return nil
	}
	next := *t
	next.services = slices.Clone(t.services)
	change(&next.services[i])
	next.digest = next.sum()
	return &next
}

// WithRemovedServices adds the services that the table before had and this one
// lacks, disabled: a proxy or a controller that has not seen the removal yet still
// reaches old. The result has this table's digest. A service whose host and path
// now belong to another one is left out; before may be nil.
func (t *Table) WithRemovedServices(before *Table) *Table {
	leaving := t.leaving(before)
	if len(leaving) == 0 {
		return t
	}
	kept, err := NewTable(t.global, slices.Concat(t.services, leaving))
	if err != nil {
		return t // only a defect leads here: leaving has checked names and routes
	}
	kept.digest = t.digest
	return kept
}

func (t *Table) leaving(before *Table) []Service {
	if before == nil {
		return nil
	}
	var all []Service
	for _, s := range before.services {
		taken := t.Service(s.Name) != nil || slices.ContainsFunc(t.OfHost(s.OldHost), func(other *Service) bool {
			return other.PathPrefix == s.PathPrefix
		})
		if !taken {
			s.Enabled = false
			all = append(all, s)
		}
	}
	return all
}

// SameStructure tells whether two tables are equal except for share, enabled, and what
// only the leader reads. Then nginx needs no reload.
func (t *Table) SameStructure(other *Table) bool { return t.rest == other.rest }

// SameGlobal tells whether the settings for all services are equal except for those that
// only the leader reads.
func (t *Table) SameGlobal(other *Table) bool {
	return reflect.DeepEqual(t.global.structure(), other.global.structure())
}

// Subset gives a table with those hosts that have a service to keep, and with all services
// of these hosts.
func (t *Table) Subset(keep func(*Service) bool) (*Table, error) {
	hosts := map[Host]bool{}
	for i := range t.services {
		if s := &t.services[i]; !hosts[s.OldHost] {
			hosts[s.OldHost] = keep(s)
		}
	}
	leave := func(s Service) bool { return !hosts[s.OldHost] }
	return NewTable(t.global, slices.DeleteFunc(slices.Clone(t.services), leave))
}

// Digest identifies the content of the table: 16 hex digits. It is equal for equal
// content and does not depend on order, layout and comments of the text.
func (t *Table) Digest() string { return t.digest }

// Global gives the settings that hold for all services.
func (t *Table) Global() Global { return t.global }

// Services gives all services, sorted by name. The caller must not change them.
func (t *Table) Services() []Service { return t.services }

// HasRamps tells whether a service has a ramp.
func (t *Table) HasRamps() bool {
	return slices.ContainsFunc(t.services, func(s Service) bool { return s.Ramp != nil })
}

// Lookup finds a service by name. The error names those that there are.
func (t *Table) Lookup(name Name) (*Service, error) {
	if found := t.Service(name); found != nil {
		return found, nil
	}
	var names []string
	for _, s := range t.services {
		names = append(names, string(s.Name))
	}
	return nil, fmt.Errorf("the config has no service %s; it has %s", name, strings.Join(names, ", "))
}

// Service finds a service by name, or nil.
func (t *Table) Service(name Name) *Service {
	if i, ok := t.byName[name]; ok {
		return &t.services[i]
	}
	return nil
}

// TakesPeerForClient tells whether a service uses the client's address (for ip_rules,
// and for user_hash, also if the key is absent) although there are no trusted proxies.
// Then all clients behind an ingress controller have the controller's address, so that
// a rule for 10.0.0.0/8 applies to all of them.
func (t *Table) TakesPeerForClient(s *Service) bool {
	asks := len(s.IPRules) > 0 || s.Strategy == StrategyUserHash && !s.Sticky()
	return asks && len(t.global.TrustedProxies) == 0
}

// KnowsHost tells whether a service has this host, exactly or by a wildcard.
func (t *Table) KnowsHost(host string) bool { return len(t.hostServices(host)) > 0 }

// OfHost gives the services with exactly this old host (for a wildcard, those with
// the same wildcard), the longest path prefix first. The caller must not change them.
func (t *Table) OfHost(host Host) []*Service {
	var found []*Service
	for _, i := range t.byHost[host] {
		found = append(found, &t.services[i])
	}
	return found
}

// Route finds the service for a normalized host and path, or nil. The exact host comes
// before wildcards, and a longer wildcard before a shorter one; of the services with
// that host the longest matching prefix wins. If no prefix matches, shorter wildcards
// are not tried. A path that no prefix covers is compared once more with
// MatchesLoosely, as ingress-nginx does for all paths of a host when one of its
// Ingresses has regular expressions or rewrite-target.
func (t *Table) Route(host, path string) *Service {
	if service := t.Covering(host, path); service != nil {
		return service
	}
	return t.first(host, func(prefix PathPrefix) bool { return prefix.MatchesLoosely(path) })
}

// Covering is Route without MatchesLoosely: the service whose prefix covers the path
// element by element.
func (t *Table) Covering(host, path string) *Service {
	return t.first(host, func(prefix PathPrefix) bool { return prefix.Matches(path) })
}

// first gives the host's first service whose prefix matches.
func (t *Table) first(host string, matches func(PathPrefix) bool) *Service {
	for _, i := range t.hostServices(host) {
		if matches(t.services[i].PathPrefix) {
			return &t.services[i]
		}
	}
	return nil
}

func (t *Table) hostServices(host string) []int {
	if indexes, ok := t.byHost[Host(host)]; ok && !Host(host).Wildcard() {
		return indexes
	}
	for rest := host; ; {
		_, after, ok := strings.Cut(rest, ".")
		if !ok {
			return nil
		}
		if indexes, ok := t.byHost[Host("*."+after)]; ok {
			return indexes
		}
		rest = after
	}
}
