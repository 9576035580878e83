package kube

import (
	"cmp"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Endpoint is one replica of the data plane as the cluster sees it.
type Endpoint struct {
	Pod     string         // its name; the address where no Pod is named
	Address netip.AddrPort // of its status port
	Ready   bool           // it gets traffic; one that is ending does not
}

// Endpoints are the replicas that the EndpointSlices of Service ProxyService
// name, sorted by pod. Slices without a port "status" (those of other
// namespaces) have none. A pod with an IPv4 and an IPv6 address is one
// replica, by its IPv4 address; it is ready if either of them is.
func Endpoints(slices []discoveryv1.EndpointSlice) []Endpoint {
	byPod := map[string]Endpoint{}
	for i := range slices {
		port, ok := statusPort(&slices[i])
		if !ok {
			continue
		}
		for _, endpoint := range slices[i].Endpoints {
			if found, ok := read(endpoint, port); ok {
				byPod[found.Pod] = merge(byPod[found.Pod], found)
			}
		}
	}
	return sorted(byPod)
}

func statusPort(slice *discoveryv1.EndpointSlice) (uint16, bool) {
	for _, port := range slice.Ports {
		if port.Name != nil && *port.Name == names.PortStatus && port.Port != nil && *port.Port > 0 && *port.Port <= 65535 {
			return uint16(*port.Port), true
		}
	}
	return 0, false
}

// read: a condition that is not told is ready and not terminating, as the API
// has it.
func read(endpoint discoveryv1.Endpoint, port uint16) (Endpoint, bool) {
	if len(endpoint.Addresses) == 0 {
		return Endpoint{}, false
	}
	address, err := netip.ParseAddr(endpoint.Addresses[0]) // all are the same endpoint
	if err != nil {
		return Endpoint{}, false // a name: not of a pod
	}
	ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
	ending := endpoint.Conditions.Terminating != nil && *endpoint.Conditions.Terminating
	pod := address.String()
	if reference := endpoint.TargetRef; reference != nil && cmp.Or(reference.Kind, "Pod") == "Pod" && reference.Name != "" {
		pod = reference.Name
	}
	return Endpoint{Pod: pod, Address: netip.AddrPortFrom(address, port), Ready: ready && !ending}, true
}

func merge(known, found Endpoint) Endpoint {
	if known.Pod == "" {
		return found
	}
	if found.Address.Compare(known.Address) < 0 { // IPv4 sorts before IPv6
		known.Address = found.Address
	}
	known.Ready = known.Ready || found.Ready
	return known
}

func sorted(byPod map[string]Endpoint) []Endpoint {
	found := make([]Endpoint, 0, len(byPod))
	for _, endpoint := range byPod {
		found = append(found, endpoint)
	}
	slices.SortFunc(found, func(a, b Endpoint) int { return cmp.Compare(a.Pod, b.Pod) })
	return found
}
