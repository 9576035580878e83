package ingressgen

import (
	"fmt"
	"strconv"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// ingressPath is one path of one rule, with everything that is decided about
// it.
type ingressPath struct {
	rule, index int // of spec.rules, and of http.paths in it
	host        string
	spec        *networkingv1.HTTPIngressPath // the current one, read only

	// userBackend is the Service backend as the user wrote it: the current one,
	// or the one that the proxy's backend replaced. It is nil for a resource
	// backend, and for a path that points at the proxy while nothing says what it
	// pointed at before (originalLost).
	userBackend  *backend
	originalLost bool

	service *migration.Service // the service that the path belongs to, or nil
	mode    migration.Mode     // how it is migrated; empty without a service
	waits   bool               // it keeps its backend until the watcher switches it

	code   string // of the check that leaves it as it is; "" is none
	reason string // of this check
}

// pathKey identifies a path whose position in the list may have changed.
type pathKey struct {
	Host     string `json:"host"`
	Path     string `json:"path"`
	PathType string `json:"pathType,omitempty"`
}

func listPaths(ingress *networkingv1.Ingress) []ingressPath {
	var all []ingressPath
	for i := range ingress.Spec.Rules {
		rule := &ingress.Spec.Rules[i]
		paths := pathsOf(rule)
		for j := range paths {
			all = append(all, ingressPath{rule: i, index: j, host: rule.Host, spec: &paths[j], userBackend: paths[j].Backend.Service})
		}
	}
	return all
}

func (p *ingressPath) key() pathKey {
	key := pathKey{Host: p.host, Path: p.spec.Path}
	if p.spec.PathType != nil {
		key.PathType = string(*p.spec.PathType)
	}
	return key
}

// String names the path in messages: "rules[0].paths[2] (a.example.com/x)".
func (p *ingressPath) String() string {
	return fmt.Sprintf("rules[%d].paths[%d] (%s%s)", p.rule, p.index, p.host, p.spec.Path)
}

// pointer is the path's JSON pointer (RFC 6901).
func (p *ingressPath) pointer() string {
	return "/spec/rules/" + strconv.Itoa(p.rule) + "/http/paths/" + strconv.Itoa(p.index)
}

func (p *ingressPath) pathType() networkingv1.PathType {
	if p.spec.PathType == nil {
		return networkingv1.PathTypeImplementationSpecific
	}
	return *p.spec.PathType
}

// prefix is the path in the form of a service's path_prefix, to compare the two:
// "" is "/", and a trailing slash does not count.
func (p *ingressPath) prefix() migration.PathPrefix {
	path := p.spec.Path
	if len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	if path == "" {
		path = "/"
	}
	return migration.PathPrefix(path)
}

func (p *ingressPath) isRewritten() bool { return isProxy(p.spec.Backend.Service) }
