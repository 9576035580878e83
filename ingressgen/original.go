package ingressgen

import (
	"encoding/json"
	"fmt"

	"github.com/migration-proxy/migration-proxy/migration"
)

// originalValues is the content of annotation original: the user's value of
// everything that is replaced at the moment.
//
//	{"backends":[{"host":"a.example.com","path":"/","pathType":"Prefix",
//	  "backend":{"name":"api","port":{"number":8080}}}],
//	 "annotations":{"nginx.ingress.kubernetes.io/backend-protocol":"HTTPS"}}
type originalValues struct {
	Backends    []originalBackend `json:"backends,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// originalBackend is the backend that the user gave to a path.
type originalBackend struct {
	pathKey
	Backend backend `json:"backend"`
	claimed bool    // a path has this key
}

// parseOriginals reads annotation original. It leaves out values that cannot be
// put back, with an error: anybody may have edited the annotation.
func parseOriginals(text string) (originalValues, error) {
	if text == "" {
		return originalValues{}, nil
	}
	var stored, usable originalValues
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return originalValues{}, fmt.Errorf("annotation %s cannot be read: %w", AnnotationOriginal, err)
	}
	for _, entry := range stored.Backends {
		if isRestorable(entry.Backend) {
			usable.Backends = append(usable.Backends, entry)
		}
	}
	for name, value := range stored.Annotations {
		if _, ok := adjustedValue(name, value); ok {
			usable = usable.withAnnotation(name, value)
		}
	}
	if len(usable.Backends) < len(stored.Backends) || len(usable.Annotations) < len(stored.Annotations) {
		return usable, fmt.Errorf("annotation %s holds values that cannot be put back; they are left out", AnnotationOriginal)
	}
	return usable, nil
}

func (o originalValues) withAnnotation(name, value string) originalValues {
	if o.Annotations == nil {
		o.Annotations = map[string]string{}
	}
	o.Annotations[name] = value
	return o
}

// text is the annotation's value; "" when nothing is replaced.
func (o originalValues) text() string {
	if len(o.Backends) == 0 && len(o.Annotations) == 0 {
		return ""
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return string(text)
}

// backendSource finds the user's backend of a path that points at the proxy.
type backendSource struct {
	description string // for the warning; "" if the source is certain
	find        func(*rewriter, *ingressPath) (backend, bool)
}

// certainSources are asked first.
var certainSources = []backendSource{
	{"", (*rewriter).oldOfName},
	{"", (*rewriter).originalOfKey},
	{"", (*rewriter).knownOfName},
}

// likelySources, the most certain first, are needed only after somebody edited
// annotation original or paths that point at the proxy, and only for names that are
// cut and for paths that an older version rewrote.
var likelySources = []backendSource{
	{"the same host had", (*rewriter).unclaimedOfHost},
	{"its service has as old_backend", (*rewriter).oldBackendOfTable},
	{"the Ingress had", (*rewriter).unclaimedOfIngress},
}

// findOriginals lists the paths, and finds the user's backend of every path
// that points at the proxy.
func (r *rewriter) findOriginals() {
	var err error
	if r.originals, err = parseOriginals(r.ingress.Annotations[AnnotationOriginal]); err != nil {
		r.warn("%v", err)
	}
	r.paths = listPaths(r.ingress)
	var unknown, restored []*ingressPath
	for i := range r.paths {
		p := &r.paths[i]
		if !p.isRewritten() {
			restored = append(restored, p)
			continue
		}
		p.userBackend, p.originalLost = nil, true
		unknown = append(unknown, p)
	}
	for _, source := range certainSources {
		unknown = r.askSource(source, unknown)
	}
	for _, p := range restored { // what is recorded of them is not another path's
		r.originalOfKey(p)
	}
	for _, source := range likelySources {
		unknown = r.askSource(source, unknown)
	}
	for _, p := range unknown {
		r.warn("%v points at Service %s, and nothing says what it pointed at before: set its backend yourself", p, p.spec.Backend.Service.Name)
	}
}

// askSource asks one source for each path, and gives the paths that it does not
// know. All paths ask one source before any asks the next, because a path claims
// the original with its own key.
func (r *rewriter) askSource(source backendSource, paths []*ingressPath) []*ingressPath {
	var unknown []*ingressPath
	for _, p := range paths {
		original, ok := source.find(r, p)
		if !ok {
			unknown = append(unknown, p)
			continue
		}
		p.userBackend, p.originalLost = &original, false
		if source.description != "" {
			r.warn("%v: annotation %s has no record of its backend; %s %s, which is taken", p, AnnotationOriginal, source.description, formatBackend(original))
		}
	}
	return unknown
}

// oldOfName claims the original of the path's key as well, so that no other path
// takes it.
func (r *rewriter) oldOfName(p *ingressPath) (backend, bool) {
	old, ok := oldOfProxy(*p.spec.Backend.Service)
	if ok {
		r.originalOfKey(p)
	}
	return old, ok
}

// originalOfKey claims the first unclaimed original with the path's own key.
func (r *rewriter) originalOfKey(p *ingressPath) (backend, bool) {
	for i := range r.originals.Backends {
		if entry := &r.originals.Backends[i]; entry.pathKey == p.key() && !entry.claimed {
			entry.claimed = true
			return entry.Backend, true
		}
	}
	return backend{}, false
}

// knownOfName finds a backend that another path has or had, by the hash in the name of its
// proxy Service: for names that are cut.
func (r *rewriter) knownOfName(p *ingressPath) (backend, bool) {
	name := p.spec.Backend.Service.Name
	for i := range r.paths {
		if known := r.paths[i].userBackend; known != nil && proxyServiceName(*known) == name {
			return *known, true
		}
	}
	for _, entry := range r.originals.Backends {
		if proxyServiceName(entry.Backend) == name {
			return entry.Backend, true
		}
	}
	return backend{}, false
}

func (r *rewriter) unclaimedOfHost(p *ingressPath) (backend, bool) {
	return r.commonBackend(func(entry originalBackend) bool { return !entry.claimed && entry.Host == p.host })
}

func (r *rewriter) oldBackendOfTable(p *ingressPath) (backend, bool) {
	if service := r.coveringService(p); service != nil {
		return oldBackend(service, r.ingress.Namespace)
	}
	return backend{}, false
}

func (r *rewriter) unclaimedOfIngress(*ingressPath) (backend, bool) {
	return r.commonBackend(func(entry originalBackend) bool { return !entry.claimed })
}

// commonBackend is the backend that all selected originals share; false if they
// differ, or if none is selected.
func (r *rewriter) commonBackend(selected func(originalBackend) bool) (backend, bool) {
	var common backend
	found := false
	for _, entry := range r.originals.Backends {
		if !selected(entry) {
			continue
		}
		if found && entry.Backend != common {
			return backend{}, false
		}
		common, found = entry.Backend, true
	}
	return common, found
}

// route finds the service for a rule's host and a path. A wildcard service does
// not take a rule for one of its hosts: an Ingress may share the wildcard with
// Ingresses that have rules of their own.
func (r *rewriter) route(host, path string) *migration.Service {
	if r.view.Table == nil || host == "" {
		return nil
	}
	return ofHost(r.view.Table.Covering(host, path), host)
}

// ofHost drops a wildcard service that was found for one of its hosts.
func ofHost(service *migration.Service, host string) *migration.Service {
	if service == nil || string(service.OldHost) != host {
		return nil
	}
	return service
}
