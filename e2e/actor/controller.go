package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// controller is a minimal ingress controller: it watches the cluster, builds a table
// of routes after each change, and forwards requests by the newest table.
type controller struct {
	class   string
	factory informers.SharedInformerFactory
	routes  atomic.Pointer[table]
	forward *forwarder
	changed chan struct{} // a signal, not a queue
}

func runController(ctx context.Context, args []string, control *http.ServeMux) error {
	class := ""
	err := flags("controller", args, func(set *flag.FlagSet) {
		set.StringVar(&class, "class", "e2e", "the ingress class it serves")
	})
	if err != nil {
		return err
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	c := newController(class, client)
	c.register(control)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.follow(ctx) })
	group.Go(func() error { return serve(ctx, wire.ControlPort, control) })
	group.Go(func() error { return serve(ctx, wire.TrafficPort, c) })
	return group.Wait()
}

func newController(class string, client kubernetes.Interface) *controller {
	return &controller{
		class: class, factory: informers.NewSharedInformerFactory(client, 0),
		forward: newForwarder(), changed: make(chan struct{}, 1),
	}
}

func (c *controller) register(control *http.ServeMux) {
	control.HandleFunc("GET "+wire.PathReady, func(w http.ResponseWriter, _ *http.Request) {
		if c.routes.Load() == nil {
			http.Error(w, "the cluster has not been read yet", http.StatusServiceUnavailable)
		}
	})
	control.HandleFunc("GET "+wire.PathRoutes, func(w http.ResponseWriter, _ *http.Request) {
		if routes := c.routes.Load(); routes != nil {
			fmt.Fprint(w, routes)
		}
	})
}

// follow rebuilds the routes after each change. Without an API server they stay as
// they are.
func (c *controller) follow(ctx context.Context) error {
	for _, informer := range []cache.SharedIndexInformer{
		c.factory.Networking().V1().Ingresses().Informer(),
		c.factory.Core().V1().Services().Informer(),
		c.factory.Discovery().V1().EndpointSlices().Informer(),
	} {
		if _, err := informer.AddEventHandler(c.onAny()); err != nil {
			return err
		}
	}
	c.factory.Start(ctx.Done())
	for kind, synced := range c.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			return fmt.Errorf("list %s: %w", kind, ctx.Err())
		}
	}
	for {
		if err := c.rebuild(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.changed:
		}
	}
}

func (c *controller) onAny() cache.ResourceEventHandlerFuncs {
	signal := func() {
		select {
		case c.changed <- struct{}{}:
		default:
		}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(any) { signal() }, UpdateFunc: func(any, any) { signal() }, DeleteFunc: func(any) { signal() },
	}
}

// snapshot has all objects that routes depend on.
type snapshot struct {
	ingresses []*networkingv1.Ingress
	services  []*corev1.Service
	slices    []*discoveryv1.EndpointSlice
}

func (c *controller) rebuild() error {
	var seen snapshot
	var errs [3]error
	seen.ingresses, errs[0] = c.factory.Networking().V1().Ingresses().Lister().List(labels.Everything())
	seen.services, errs[1] = c.factory.Core().V1().Services().Lister().List(labels.Everything())
	seen.slices, errs[2] = c.factory.Discovery().V1().EndpointSlices().Lister().List(labels.Everything())
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	before := c.routes.Swap(newTable(c.class, seen))
	if before.lost(c.routes.Load()) {
		c.forward.closeIdle()
	}
	return nil
}

func (c *controller) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found := c.routes.Load().find(hostname(r.Host), r.URL.Path)
	if found == nil {
		refuse(w, r, http.StatusNotFound, "no Ingress has this host and path")
		return
	}
	if found.canary != nil && found.canary.takes(r.Header) {
		found = found.canary.route
	}
	if len(found.endpoints) == 0 {
		refuse(w, r, http.StatusServiceUnavailable, found.backend+" of ingress "+found.ingress+" has no ready endpoint")
		return
	}
	c.forward.to(found.endpoints, w, r)
}

// refuse answers with an error of the controller. Clients only count these; the log
// has the reason.
func refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	slog.Warn("refused", "status", status, "why", why, "method", r.Method, "host", r.Host, "path", r.URL.Path)
	http.Error(w, "e2e controller: "+why, status)
}
