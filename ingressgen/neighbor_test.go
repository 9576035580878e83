package ingressgen_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/ingressgen"
)

// around is what a cluster has around an Ingress.
type around struct {
	ingress *networkingv1.Ingress
	others  []*networkingv1.Ingress
	classes []*networkingv1.IngressClass
}

// loadAround reads a file with Ingresses and IngressClasses. If it has no classes,
// or does not exist, the cluster has ingress-nginx as its default class.
func loadAround(t *testing.T, file string) around {
	t.Helper()
	var found around
	text, err := os.ReadFile(file)
	require.True(t, err == nil || os.IsNotExist(err), err)
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var kind struct{ Kind string }
		require.NoError(t, yaml.Unmarshal([]byte(document), &kind))
		switch kind.Kind {
		case "IngressClass":
			class := &networkingv1.IngressClass{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), class))
			found.classes = append(found.classes, class)
		case "Ingress":
			other := &networkingv1.Ingress{}
			require.NoError(t, yaml.UnmarshalStrict([]byte(document), other))
			if !ingressgen.OptedIn(other) && other.Labels == nil { // as the watcher's store does
				ingressgen.TrimNeighbor(other)
			}
			found.others = append(found.others, other)
		default:
			require.Empty(t, kind.Kind, "in %s", file)
		}
	}
	if found.classes == nil {
		found.classes = []*networkingv1.IngressClass{class("nginx", ingressgen.ControllerNginx, 1, "true")}
	}
	return found
}

// UsersOf implements ingressgen.NeighborLookup.
func (a around) UsersOf(backend networkingv1.IngressServiceBackend) []*networkingv1.Ingress {
	return a.only(func(other *networkingv1.Ingress) bool {
		return other.Namespace == a.ingress.Namespace && slices.Contains(ingressgen.UsedBackends(other), backend)
	})
}

// CanariesAt implements ingressgen.NeighborLookup.
func (a around) CanariesAt(host string) []*networkingv1.Ingress {
	return a.only(func(other *networkingv1.Ingress) bool { return slices.Contains(ingressgen.CanaryHosts(other), host) })
}

// LoosenersAt implements ingressgen.NeighborLookup.
func (a around) LoosenersAt(host string) []*networkingv1.Ingress {
	return a.only(func(other *networkingv1.Ingress) bool { return slices.Contains(ingressgen.LoosenedHosts(other), host) })
}

// IngressesAt implements ingressgen.NeighborLookup.
func (a around) IngressesAt(host string) []*networkingv1.Ingress {
	return a.only(func(other *networkingv1.Ingress) bool { return slices.Contains(ingressgen.HostsOf(other), host) })
}

func (a around) only(found func(*networkingv1.Ingress) bool) []*networkingv1.Ingress {
	var all []*networkingv1.Ingress
	for _, other := range a.others {
		if found(other) && ingressgen.IsNeighbor(a.ingress, other, a.classes) {
			all = append(all, other)
		}
	}
	return all
}
