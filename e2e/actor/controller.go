package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// controller is a small ingress controller: it watches the cluster, makes the model of
// each class after each change, and forwards requests by it.
type controller struct {
	factory informers.SharedInformerFactory
	fronts  []*front
	changed chan struct{} // a signal, not a queue
}

func runController(ctx context.Context, args []string, control *http.ServeMux) error {
	if err := flags("controller", args, func(*flag.FlagSet) {}); err != nil {
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
	c := newController(client)
	c.register(control)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.follow(ctx) })
	group.Go(func() error { return serve(ctx, wire.ControlPort, control) })
	for _, one := range c.fronts {
		group.Go(func() error { return one.settle(ctx) })
		group.Go(func() error { return one.run(ctx) })
	}
	return group.Wait()
}

func newController(client kubernetes.Interface) *controller {
	c := &controller{factory: informers.NewSharedInformerFactory(client, 0), changed: make(chan struct{}, 1)}
	for _, class := range wire.Classes {
		c.fronts = append(c.fronts, newFront(class))
	}
	return c
}

func (c *controller) register(control *http.ServeMux) {
	control.HandleFunc("GET "+wire.PathReady, func(w http.ResponseWriter, _ *http.Request) {
		for _, one := range c.fronts {
			if one.served.Load() == nil {
				http.Error(w, "the cluster has not been read yet", http.StatusServiceUnavailable)
				return
			}
		}
	})
	control.HandleFunc("GET "+wire.PathRoutes, func(w http.ResponseWriter, _ *http.Request) {
		for _, one := range c.fronts {
			if now := one.served.Load(); now != nil {
				fmt.Fprint(w, now.routes, now.upstreams)
			}
		}
	})
}

// follow makes the models after each change. Without an API server they stay as they
// are.
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

func (c *controller) rebuild() error {
	var seen snapshot
	var errs [3]error
	seen.ingresses, errs[0] = c.factory.Networking().V1().Ingresses().Lister().List(labels.Everything())
	seen.services, errs[1] = c.factory.Core().V1().Services().Lister().List(labels.Everything())
	seen.slices, errs[2] = c.factory.Discovery().V1().EndpointSlices().Lister().List(labels.Everything())
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	for _, one := range c.fronts {
		one.offer(newModel(one.class.Name, one.habits, seen))
	}
	return nil
}
