package kube

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Endpoint is one replica of the data plane as the cluster sees it.
type Endpoint struct {
	Pod     string         // the pod's name, or its address if the slice names no pod
	Address netip.AddrPort // of the status port
	Ready   bool           // the pod gets traffic, and is not terminating
}

// Endpoints returns the replicas in the EndpointSlices of Service
// names.ProxyService, sorted by pod. Slices without a port "status" (those in
// the namespaces of applications) are skipped. A pod with an IPv4 and an IPv6
// address is one replica with the IPv4 address; it is ready if either is.
func Endpoints(slices []discoveryv1.EndpointSlice) []Endpoint {
	byPod := map[string]Endpoint{}
	for i := range slices {
		port, ok := statusPort(&slices[i])
		if !ok {
			continue
		}
		for _, endpoint := range slices[i].Endpoints {
			if replica, ok := replicaOf(endpoint, port); ok {
				byPod[replica.Pod] = mergeAddresses(byPod[replica.Pod], replica)
			}
		}
	}
	return sortedByPod(byPod)
}

func statusPort(slice *discoveryv1.EndpointSlice) (uint16, bool) {
	for _, port := range slice.Ports {
		if port.Name != nil && *port.Name == names.PortStatus && port.Port != nil && *port.Port > 0 && *port.Port <= 65535 {
			return uint16(*port.Port), true
		}
	}
	return 0, false
}

// replicaOf reads one endpoint. As the API defines, a condition that is not
// set means ready and not terminating.
func replicaOf(endpoint discoveryv1.Endpoint, port uint16) (Endpoint, bool) {
	if len(endpoint.Addresses) == 0 {
		return Endpoint{}, false
	}
	address, err := netip.ParseAddr(endpoint.Addresses[0]) // all addresses are of the same endpoint
	if err != nil {
		return Endpoint{}, false // a host name is not of a pod
	}
	ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
	terminating := endpoint.Conditions.Terminating != nil && *endpoint.Conditions.Terminating
	pod := address.String()
	if reference := endpoint.TargetRef; reference != nil && cmp.Or(reference.Kind, "Pod") == "Pod" && reference.Name != "" {
		pod = reference.Name
	}
	return Endpoint{Pod: pod, Address: netip.AddrPortFrom(address, port), Ready: ready && !terminating}, true
}

func mergeAddresses(known, next Endpoint) Endpoint {
	if known.Pod == "" {
		return next
	}
	if next.Address.Compare(known.Address) < 0 { // IPv4 sorts before IPv6
		known.Address = next.Address
	}
	known.Ready = known.Ready || next.Ready
	return known
}

func sortedByPod(byPod map[string]Endpoint) []Endpoint {
	return slices.SortedFunc(maps.Values(byPod), func(a, b Endpoint) int { return cmp.Compare(a.Pod, b.Pod) })
}
