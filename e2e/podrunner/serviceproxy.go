package podrunner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// serviceProxy is a small kube-proxy: it listens on ClusterIPs and copies the bytes of
// TCP connections. kube-proxy works in the kernel, so latencies through a ClusterIP
// are not those of a real cluster.
type serviceProxy struct {
	kubelet *Kubelet
	mu      sync.Mutex
	open    map[netip.AddrPort]net.Listener // nil after close
}

// proxyServices makes all ClusterIPs local addresses, and listens on those that
// Services have.
func (k *Kubelet) proxyServices(ctx context.Context) error {
	if err := IP(fmt.Sprintf("route replace local %s dev lo", k.options.Services)); err != nil {
		return err
	}
	all := &serviceProxy{kubelet: k, open: map[netip.AddrPort]net.Listener{}}
	_, err := k.informers.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { all.follow(nil, object.(*corev1.Service)) },
		UpdateFunc: func(old, object any) { all.follow(old.(*corev1.Service), object.(*corev1.Service)) },
		DeleteFunc: func(object any) {
			if last, is := object.(cache.DeletedFinalStateUnknown); is {
				object = last.Obj
			}
			all.follow(object.(*corev1.Service), nil)
		},
	})
	k.all.Go(func() {
		<-ctx.Done()
		all.close()
	})
	return err
}

// follow closes the listeners that only the old version of a Service needs, and opens
// the new ones.
func (s *serviceProxy) follow(old, new *corev1.Service) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		return
	}
	wanted := listens(new)
	for at := range listens(old) {
		if _, still := wanted[at]; !still && s.open[at] != nil {
			_ = s.open[at].Close()
			delete(s.open, at)
		}
	}
	for at := range wanted {
		if s.open[at] != nil {
			continue
		}
		listener, err := net.Listen("tcp", at.String())
		if err != nil {
			s.kubelet.options.Log.Warn("cannot listen on ClusterIP", "service", new.Namespace+"/"+new.Name, "error", err)
			continue
		}
		s.open[at] = listener
		s.kubelet.all.Go(func() { s.serve(listener, new.Namespace, new.Name, at) })
	}
}

func (s *serviceProxy) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, listener := range s.open {
		_ = listener.Close()
	}
	s.open = nil
}

// listens gives the name of each TCP port of a Service, by address.
func listens(service *corev1.Service) map[netip.AddrPort]string {
	all := map[netip.AddrPort]string{}
	if service == nil {
		return all
	}
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return all // the Service has no ClusterIP
	}
	for _, port := range service.Spec.Ports {
		if port.Protocol == corev1.ProtocolTCP {
			all[netip.AddrPortFrom(address, uint16(port.Port))] = port.Name
		}
	}
	return all
}

func (s *serviceProxy) serve(listener net.Listener, namespace, name string, at netip.AddrPort) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				s.kubelet.options.Log.Warn("accept on ClusterIP failed", "service", namespace+"/"+name, "error", err)
			}
			return
		}
		go s.relay(connection.(*net.TCPConn), namespace, name, at) // ends with the connection
	}
}

// relay connects to a ready endpoint. Without one it resets the connection; kube-proxy
// would refuse it.
func (s *serviceProxy) relay(client *net.TCPConn, namespace, name string, at netip.AddrPort) {
	defer client.Close()
	there, err := s.dial(namespace, name, at)
	if err != nil {
		_ = client.SetLinger(0)
		return
	}
	defer there.Close()
	var both sync.WaitGroup
	both.Go(func() { pour(there, client) })
	both.Go(func() { pour(client, there) })
	both.Wait()
}

func pour(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.SetLinger(0) // pass the reset on
		_ = to.Close()
		return
	}
	_ = to.CloseWrite()
}

// dial connects to a random ready endpoint. It looks the port's name up again, because
// that may have changed since the listener was opened.
func (s *serviceProxy) dial(namespace, name string, at netip.AddrPort) (*net.TCPConn, error) {
	service, err := s.kubelet.informers.Core().V1().Services().Lister().Services(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	port := listens(service)[at]
	all := s.kubelet.endpoints(service)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, one := range all {
		for _, p := range one.ports {
			if p.Port == nil || p.Name != nil && *p.Name != port {
				continue
			}
			target := net.JoinHostPort(one.address.String(), strconv.Itoa(int(*p.Port)))
			connection, err := net.DialTimeout("tcp", target, 5*time.Second) // a lost SYN is sent again after 1 s
			if err != nil {
				return nil, err
			}
			return connection.(*net.TCPConn), nil
		}
	}
	return nil, fmt.Errorf("service %s/%s has no ready endpoint", namespace, name)
}
