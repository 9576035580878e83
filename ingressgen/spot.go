package ingressgen

import (
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/migration"
)

// spot is one path of one rule, with all that is decided about it.
type spot struct {
	rule, path int
	host       string
	at         *networkingv1.HTTPIngressPath // as it is; read only

	// user is the Service backend as the user wrote it: the current one, or
	// the one that ours replaced. Nil for resource backends, and when ours
	// replaced something that nobody knows any more (lost).
	user *backend
	lost bool

	service *migration.Service // that the path belongs to; nil: to none
	mode    migration.Mode     // how it is migrated, with a service
}

// key is what identifies a path when its place in the list has changed.
type key struct {
	Host     string `json:"host"`
	Path     string `json:"path"`
	PathType string `json:"pathType,omitempty"`
}

func (s *spot) key() key {
	k := key{Host: s.host, Path: s.at.Path}
	if s.at.PathType != nil {
		k.PathType = string(*s.at.PathType)
	}
	return k
}

// String is the spot as messages write it: "rules[0].paths[2] (a.example.com/x)".
func (s *spot) String() string {
	return fmt.Sprintf("rules[%d].paths[%d] (%s%s)", s.rule, s.path, s.host, s.at.Path)
}

func (s *spot) pathType() networkingv1.PathType {
	if s.at.PathType == nil {
		return networkingv1.PathTypeImplementationSpecific
	}
	return *s.at.PathType
}

// prefix is the path as a prefix that can be compared with a service's: "" is
// "/", and a trailing slash does not count.
func (s *spot) prefix() migration.PathPrefix {
	path := s.at.Path
	if len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	if path == "" {
		path = "/"
	}
	return migration.PathPrefix(path)
}

func (s *spot) rewritten() bool { return isProxy(s.at.Backend.Service) }

// migrates tells whether traffic of the path is to reach the proxy by mode.
func (p *plan) migrates(s *spot, mode migration.Mode) bool {
	return s.service != nil && s.mode == mode && p.migrating(s.service)
}

func spotsOf(ingress *networkingv1.Ingress) []spot {
	var spots []spot
	for i := range ingress.Spec.Rules {
		rule := &ingress.Spec.Rules[i]
		paths := pathsOf(rule)
		for j := range paths {
			spots = append(spots, spot{rule: i, path: j, host: rule.Host, at: &paths[j], user: paths[j].Backend.Service})
		}
	}
	return spots
}
