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

// relays are the listeners on ClusterIPs: TCP only, one goroutine for each
// direction of a connection. kube-proxy does it in the kernel, and what is
// measured through a ClusterIP here is not what a cluster would give.
type relays struct {
	runner *Runner
	mu     sync.Mutex
	open   map[netip.AddrPort]net.Listener // nil: closed for good
}

// relayServices makes all addresses of the range ours, and listens on those
// that Services have.
func (r *Runner) relayServices(ctx context.Context) error {
	if err := IP(fmt.Sprintf("route replace local %s dev lo", r.options.Services)); err != nil {
		return err
	}
	all := &relays{runner: r, open: map[netip.AddrPort]net.Listener{}}
	_, err := r.known.Core().V1().Services().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { all.follow(nil, object.(*corev1.Service)) },
		UpdateFunc: func(old, object any) { all.follow(old.(*corev1.Service), object.(*corev1.Service)) },
		DeleteFunc: func(object any) {
			if last, is := object.(cache.DeletedFinalStateUnknown); is {
				object = last.Obj
			}
			all.follow(object.(*corev1.Service), nil)
		},
	})
	r.all.Go(func() {
		<-ctx.Done()
		all.close()
	})
	return err
}

// follow closes what the old version had and the new one has not, and opens
// the rest.
func (a *relays) follow(old, new *corev1.Service) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open == nil {
		return
	}
	wanted := listens(new)
	for at := range listens(old) {
		if _, still := wanted[at]; !still && a.open[at] != nil {
			_ = a.open[at].Close()
			delete(a.open, at)
		}
	}
	for at := range wanted {
		if a.open[at] != nil {
			continue
		}
		listener, err := net.Listen("tcp", at.String())
		if err != nil {
			a.runner.options.Log.Warn("a ClusterIP is not relayed", "service", new.Namespace+"/"+new.Name, "error", err)
			continue
		}
		a.open[at] = listener
		a.runner.all.Go(func() { a.serve(listener, new.Namespace, new.Name, at) })
	}
}

func (a *relays) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, listener := range a.open {
		_ = listener.Close()
	}
	a.open = nil
}

// listens gives the names of a Service's TCP ports by where they are.
func listens(service *corev1.Service) map[netip.AddrPort]string {
	all := map[netip.AddrPort]string{}
	if service == nil {
		return all
	}
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return all // headless, or without an address
	}
	for _, port := range service.Spec.Ports {
		if port.Protocol == corev1.ProtocolTCP {
			all[netip.AddrPortFrom(address, uint16(port.Port))] = port.Name
		}
	}
	return all
}

func (a *relays) serve(listener net.Listener, namespace, name string, at netip.AddrPort) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				a.runner.options.Log.Warn("a ClusterIP is no longer relayed", "service", namespace+"/"+name, "error", err)
			}
			return
		}
		go a.relay(connection.(*net.TCPConn), namespace, name, at) // ends with the connection
	}
}

// relay connects to a ready endpoint; when there is none, the client sees a
// reset, as it sees a refused connection with kube-proxy.
func (a *relays) relay(client *net.TCPConn, namespace, name string, at netip.AddrPort) {
	defer client.Close()
	there, err := a.dial(namespace, name, at)
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
		_ = to.SetLinger(0) // a reset is passed on as a reset
		_ = to.Close()
		return
	}
	_ = to.CloseWrite()
}

// dial connects to one of the ready endpoints, by chance. What the port is
// called, which is how endpoints know it, may have changed since it was opened.
func (a *relays) dial(namespace, name string, at netip.AddrPort) (*net.TCPConn, error) {
	service, err := a.runner.known.Core().V1().Services().Lister().Services(namespace).Get(name)
	if err != nil {
		return nil, err
	}
	port := listens(service)[at]
	all := a.runner.endpoints(service)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, one := range all {
		for _, p := range one.ports {
			if p.Port == nil || p.Name != nil && *p.Name != port {
				continue
			}
			target := net.JoinHostPort(one.address.String(), strconv.Itoa(int(*p.Port)))
			connection, err := net.DialTimeout("tcp", target, time.Second)
			if err != nil {
				return nil, err
			}
			return connection.(*net.TCPConn), nil
		}
	}
	return nil, fmt.Errorf("service %s/%s has no ready endpoint", namespace, name)
}
