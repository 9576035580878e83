package migration

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Global is what holds for all services.
type Global struct {
	TrustedProxies []netip.Prefix // sorted; whose X-Forwarded-For is believed
	DebugHeaders   bool           // answers carry X-Migration-Side and -Reason
}

// Table is one whole migration config: immutable, sorted by service name, no
// two services with one name or one (old host, path prefix).
type Table struct {
	global   Global
	services []Service
	byName   map[Name]int
	byHost   map[Host][]int    // longest path prefix first
	rest     [sha256.Size]byte // the digest of all but share and enabled
	digest   string
}

// NewTable sorts the services and refuses duplicates. It keeps what it is
// given: the caller must not change it afterwards.
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
			return cmp.Compare(len(table.services[b].PathPrefix), len(table.services[a].PathPrefix))
		})
	}
	if err := table.sumStructure(); err != nil {
		return nil, fmt.Errorf("digest of the migration table: %w", err)
	}
	table.digest = table.sum()
	return table, nil
}

// sumStructure sums up, by canonical JSON, all but share and enabled.
func (t *Table) sumStructure() error {
	text, err := json.Marshal(t.global)
	all := sha256.New()
	all.Write(text)
	for _, service := range t.services {
		service.Share, service.Enabled = 0, false
		text, oneErr := json.Marshal(service)
		err = errors.Join(err, oneErr)
		all.Write(text)
	}
	all.Sum(t.rest[:0])
	return err
}

// sum is 16 hex digits over the structure, and each share and enabled.
func (t *Table) sum() string {
	text := append(make([]byte, 0, len(t.rest)+12*len(t.services)), t.rest[:]...)
	for i := range t.services {
		text = strconv.AppendInt(text, int64(t.services[i].Share), 10)
		text = strconv.AppendBool(append(text, ' '), t.services[i].Enabled)
		text = append(text, '\n')
	}
	all := sha256.Sum256(text)
	return hex.EncodeToString(all[:8])
}

// WithShare is the table with one service's share changed; nil if there is no
// such service. It costs microseconds per thousand services, where NewTable
// costs milliseconds.
func (t *Table) WithShare(name Name, share Share) *Table {
	return t.with(name, func(s *Service) { s.Share = share })
}

// WithEnabled is WithShare for enabled.
func (t *Table) WithEnabled(name Name, enabled bool) *Table {
	return t.with(name, func(s *Service) { s.Enabled = enabled })
}

// with may change share and enabled only: the structure's digest is kept.
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

// SameStructure tells whether two tables differ in shares and in enabled at
// most: in what changes without a reload.
func (t *Table) SameStructure(other *Table) bool { return t.rest == other.rest }

// Digest names this table's content: 16 hex digits, equal for equal content
// whatever the order, layout and comments of the text it came from.
func (t *Table) Digest() string { return t.digest }

// Global gives the settings that hold for all services.
func (t *Table) Global() Global { return t.global }

// Services gives all services, sorted by name. Read only.
func (t *Table) Services() []Service { return t.services }

// Service finds a service by name, or nil.
func (t *Table) Service(name Name) *Service {
	if i, ok := t.byName[name]; ok {
		return &t.services[i]
	}
	return nil
}

// TakesPeerForClient tells whether a service looks at the client's address
// (ip_rules; user_hash, where the key is absent too) although nobody is trusted
// to tell it. Behind an ingress controller all clients then have the
// controller's address, so that a rule for 10.0.0.0/8 is one for everybody.
func (t *Table) TakesPeerForClient(s *Service) bool {
	asks := len(s.IPRules) > 0 || s.Strategy == StrategyUserHash
	return asks && len(t.global.TrustedProxies) == 0
}

// KnowsHost tells whether any service is for the host, exactly or by a
// wildcard.
func (t *Table) KnowsHost(host string) bool { return len(t.hostServices(host)) > 0 }

// OfHost gives the services with exactly this old host (a wildcard for a
// wildcard), the longest path prefix first. Read only.
func (t *Table) OfHost(host Host) []*Service {
	var found []*Service
	for _, i := range t.byHost[host] {
		found = append(found, &t.services[i])
	}
	return found
}

// Route finds the service for a normalized host and path: the exact host
// before wildcards, the longest wildcard first, then the longest prefix. Once
// a host matches, shorter wildcards are not looked at. Nil if none.
func (t *Table) Route(host, path string) *Service {
	for _, i := range t.hostServices(host) {
		if t.services[i].PathPrefix.Matches(path) {
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
