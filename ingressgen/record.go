package ingressgen

import (
	"encoding/json"
	"fmt"

	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

// record is the annotation original: the user's value of everything that is
// replaced right now.
//
//	{"backends":[{"host":"a.example.com","path":"/","pathType":"Prefix",
//	  "backend":{"name":"api","port":{"number":8080}}}],
//	 "annotations":{"nginx.ingress.kubernetes.io/backend-protocol":"HTTPS"}}
type record struct {
	Backends    []kept            `json:"backends,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// kept is the backend that a path had.
type kept struct {
	key
	Backend backend `json:"backend"`
	claimed bool    // a path with this key points at us
}

// parseRecord reads the annotation. What cannot be put back is left out, and
// the error tells; it may have been edited by anybody.
func parseRecord(text string) (record, error) {
	if text == "" {
		return record{}, nil
	}
	var found, usable record
	if err := json.Unmarshal([]byte(text), &found); err != nil {
		return record{}, fmt.Errorf("annotation %s cannot be read: %w", AnnotationOriginal, err)
	}
	for _, one := range found.Backends {
		if restorable(one.Backend) {
			usable.Backends = append(usable.Backends, one)
		}
	}
	for name, value := range found.Annotations {
		if _, ok := adjusts(name); ok {
			usable = usable.with(name, value)
		}
	}
	if len(usable.Backends) < len(found.Backends) || len(usable.Annotations) < len(found.Annotations) {
		return usable, fmt.Errorf("annotation %s holds values that cannot be put back; they are left out", AnnotationOriginal)
	}
	return usable, nil
}

func (r record) with(name, value string) record {
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	r.Annotations[name] = value
	return r
}

func (r record) text() string {
	if len(r.Backends) == 0 && len(r.Annotations) == 0 {
		return ""
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

// A source finds the user's backend of a path that points at us.
type source struct {
	how  string // for the warning; "" if it is certain
	find func(*plan, *spot) (backend, bool)
}

// sources, the surest first. Only the first one is needed as long as nobody
// edits paths that point at us, or our annotations.
var sources = []source{
	{"", (*plan).recorded},
	{"the same host had", (*plan).unclaimedOnHost},
	{"its service has as old_backend", (*plan).tabled},
	{"the Ingress had", (*plan).unclaimed},
	{"all paths of the host had", (*plan).anyOnHost},
}

// undo finds, for every path that points at us, what the user had there.
func (p *plan) undo() {
	var err error
	if p.record, err = parseRecord(p.ingress.Annotations[AnnotationOriginal]); err != nil {
		p.warn("%v", err)
	}
	var open []*spot
	for i := range p.spots {
		s := &p.spots[i]
		if s.rewritten() {
			s.user, s.lost = nil, true
			open = append(open, s)
		}
	}
	for _, from := range sources {
		open = p.recover(open, from)
	}
	for _, s := range open {
		p.warn("%v points at Service %s, and nothing says what it pointed at before: set its backend yourself", s, names.ProxyService)
	}
}

// recover asks one source for each open path, and gives those that stay open.
func (p *plan) recover(open []*spot, from source) []*spot {
	var still []*spot
	for _, s := range open {
		found, ok := from.find(p, s)
		if !ok {
			still = append(still, s)
			continue
		}
		s.user, s.lost = &found, false
		if from.how != "" {
			p.warn("%v: annotation %s has no record of its backend; %s %s, which is taken", s, AnnotationOriginal, from.how, show(found))
		}
	}
	return still
}

// recorded claims the first record with the path's own key.
func (p *plan) recorded(s *spot) (backend, bool) {
	for i := range p.record.Backends {
		if one := &p.record.Backends[i]; one.key == s.key() && !one.claimed {
			one.claimed = true
			return one.Backend, true
		}
	}
	return backend{}, false
}

func (p *plan) unclaimedOnHost(s *spot) (backend, bool) {
	return p.agreed(func(one kept) bool { return !one.claimed && one.Host == s.host })
}

func (p *plan) tabled(s *spot) (backend, bool) {
	if found := p.route(s.host, string(s.prefix())); found != nil {
		return oldBackend(found, p.ingress.Namespace)
	}
	return backend{}, false
}

func (p *plan) unclaimed(*spot) (backend, bool) {
	return p.agreed(func(one kept) bool { return !one.claimed })
}

func (p *plan) anyOnHost(s *spot) (backend, bool) {
	return p.agreed(func(one kept) bool { return one.Host == s.host })
}

// agreed is the backend of all records that are meant, if it is one.
func (p *plan) agreed(meant func(kept) bool) (backend, bool) {
	var found []backend
	for _, one := range p.record.Backends {
		if meant(one) {
			found = append(found, one.Backend)
		}
	}
	for _, other := range found {
		if other != found[0] {
			return backend{}, false
		}
	}
	if len(found) == 0 {
		return backend{}, false
	}
	return found[0], true
}

// route finds the service for a rule's host and a path. A wildcard service
// does not take a rule for one of its hosts: an Ingress may share the wildcard
// with others that have rules of their own.
func (p *plan) route(host, path string) *migration.Service {
	if p.view.Table == nil || host == "" {
		return nil
	}
	found := p.view.Table.Route(host, path)
	if found == nil || string(found.OldHost) != host {
		return nil
	}
	return found
}
