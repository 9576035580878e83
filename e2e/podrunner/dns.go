package podrunner

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
)

const (
	clusterDomain = "cluster.local."
	timeToLive    = 5 // seconds, CoreDNS' value for Services
)

// resolver is the resolv.conf of a Pod.
func (w *podWorker) resolver() string {
	return fmt.Sprintf("nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
		w.kubelet.options.Network.Addr(), w.pod.Namespace)
}

// serveDNS serves the names of Services on port 53 of the node, by UDP and TCP, until
// the context ends.
func (k *Kubelet) serveDNS(ctx context.Context) error {
	address := netip.AddrPortFrom(k.options.Network.Addr(), 53).String()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	streams, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: streams}} {
		server.Handler = dns.HandlerFunc(k.answer)
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		k.all.Go(func() {
			if err := server.ActivateAndServe(); err != nil && ctx.Err() == nil {
				k.options.Log.Error("dns server failed", "error", err)
			}
		})
		k.all.Go(func() {
			<-ready // an earlier Shutdown has no effect
			<-ctx.Done()
			_ = server.Shutdown()
		})
	}
	return nil
}

// answer answers a DNS query. Services have only IPv4 addresses.
func (k *Kubelet) answer(out dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative = true
	if len(question.Question) == 1 {
		asked := question.Question[0]
		addresses, exists := k.lookup(asked.Name)
		if !exists {
			answer.Rcode = dns.RcodeNameError
		}
		for _, address := range addresses {
			if asked.Qtype == dns.TypeA {
				answer.Answer = append(answer.Answer, &dns.A{
					Hdr: dns.RR_Header{Name: asked.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: timeToLive},
					A:   address.AsSlice(),
				})
			}
		}
	}
	_ = out.WriteMsg(answer) // the client repeats its query
}

// lookup gives the addresses of NAME.NAMESPACE.svc[.cluster.local]: the ClusterIP if
// there is one in our range, those of the other name for an ExternalName, else the
// addresses of ready endpoints.
func (k *Kubelet) lookup(name string) (addresses []netip.Addr, exists bool) {
	parts := strings.Split(strings.TrimSuffix(strings.ToLower(dns.Fqdn(name)), clusterDomain), ".")
	if len(parts) != 4 || parts[2] != "svc" {
		return nil, false
	}
	service, err := k.informers.Core().V1().Services().Lister().Services(parts[1]).Get(parts[0])
	if err != nil {
		return nil, false
	}
	if own, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil && k.options.Services.Contains(own) {
		return []netip.Addr{own}, true
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return k.lookup(service.Spec.ExternalName) // of the cluster; a scenario makes no circle
	}
	for _, endpoint := range k.endpoints(service) {
		addresses = append(addresses, endpoint.address)
	}
	return slices.Compact(addresses), true
}

// endpoint is a ready address of a Service with its ports.
type endpoint struct {
	address netip.Addr
	ports   []discoveryv1.EndpointPort
}

// endpoints gives the ready endpoints of a Service, sorted by address.
func (k *Kubelet) endpoints(service *corev1.Service) []endpoint {
	belongs := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	found, err := k.informers.Discovery().V1().EndpointSlices().Lister().EndpointSlices(service.Namespace).List(belongs)
	if err != nil {
		panic(err) // a list from memory does not fail
	}
	var ready []endpoint
	for _, slice := range found {
		for _, one := range slice.Endpoints {
			if one.Conditions.Ready != nil && !*one.Conditions.Ready {
				continue
			}
			for _, text := range one.Addresses {
				if address, err := netip.ParseAddr(text); err == nil {
					ready = append(ready, endpoint{address: address, ports: slice.Ports})
				}
			}
		}
	}
	slices.SortFunc(ready, func(a, b endpoint) int { return a.address.Compare(b.address) })
	return ready
}
