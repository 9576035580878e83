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
	timeToLive    = 5 // seconds, as CoreDNS has it for Services
)

// resolver is a Pod's resolv.conf.
func (w *worker) resolver() string {
	return fmt.Sprintf("nameserver %s\nsearch %s.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n",
		w.runner.options.Network.Addr(), w.pod.Namespace)
}

// serveNames answers for the names of Services on port 53 of the node, by UDP
// and TCP, until the context ends.
func (r *Runner) serveNames(ctx context.Context) error {
	address := netip.AddrPortFrom(r.options.Network.Addr(), 53).String()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	streams, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("serve names: %w", err)
	}
	for _, server := range []*dns.Server{{PacketConn: packets}, {Listener: streams}} {
		server.Handler = dns.HandlerFunc(r.answer)
		ready := make(chan struct{})
		server.NotifyStartedFunc = func() { close(ready) }
		r.all.Go(func() {
			if err := server.ActivateAndServe(); err != nil && ctx.Err() == nil {
				r.options.Log.Error("names are no longer served", "error", err)
			}
		})
		r.all.Go(func() {
			<-ready // Shutdown does nothing before
			<-ctx.Done()
			_ = server.Shutdown()
		})
	}
	return nil
}

// answer answers one question. Services have IPv4 addresses only.
func (r *Runner) answer(out dns.ResponseWriter, question *dns.Msg) {
	answer := new(dns.Msg).SetReply(question)
	answer.Authoritative = true
	if len(question.Question) == 1 {
		asked := question.Question[0]
		addresses, exists := r.lookup(asked.Name)
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
	_ = out.WriteMsg(answer) // who asked will ask again
}

// lookup gives the addresses of NAME.NAMESPACE.svc[.cluster.local]: the
// ClusterIP if there is one and it is relayed, else those of ready endpoints.
func (r *Runner) lookup(name string) (addresses []netip.Addr, exists bool) {
	parts := strings.Split(strings.TrimSuffix(strings.ToLower(dns.Fqdn(name)), clusterDomain), ".")
	if len(parts) != 4 || parts[2] != "svc" {
		return nil, false
	}
	service, err := r.known.Core().V1().Services().Lister().Services(parts[1]).Get(parts[0])
	if err != nil {
		return nil, false
	}
	if own, err := netip.ParseAddr(service.Spec.ClusterIP); err == nil && r.options.Services.Contains(own) {
		return []netip.Addr{own}, true
	}
	for _, endpoint := range r.endpoints(service) {
		addresses = append(addresses, endpoint.address)
	}
	return slices.Compact(addresses), true
}

// endpoint is a ready address of a Service with the ports that it has there.
type endpoint struct {
	address netip.Addr
	ports   []discoveryv1.EndpointPort
}

// endpoints gives a Service's ready endpoints, sorted by address.
func (r *Runner) endpoints(service *corev1.Service) []endpoint {
	belongs := labels.SelectorFromSet(labels.Set{discoveryv1.LabelServiceName: service.Name})
	found, err := r.known.Discovery().V1().EndpointSlices().Lister().EndpointSlices(service.Namespace).List(belongs)
	if err != nil {
		panic(err) // a list of what is in memory
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
