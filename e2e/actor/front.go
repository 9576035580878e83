package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// front serves one class with the habits of its persona.
type front struct {
	class   wire.Class
	habits  persona
	forward *forwarder
	clients *clients
	served  atomic.Pointer[model]
	newest  chan *model // the last model that is not yet served; capacity 1
}

func newFront(class wire.Class) *front {
	habits := personas[class.Persona]
	return &front{
		class: class, habits: habits, forward: newForwarder(habits.forwarded), clients: newClients(), newest: make(chan *model, 1),
	}
}

// offer replaces the model that the front serves next. It has a single caller.
func (f *front) offer(next *model) {
	select {
	case <-f.newest:
	default:
	}
	f.newest <- next
}

// settle serves the offered models until the context ends, each by the stages of the
// persona.
func (f *front) settle(ctx context.Context) error {
	listFirst := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case next := <-f.newest:
			stages := f.habits.stages(f.served.Load(), next, listFirst)
			f.serveStages(ctx, stages)
			if len(stages) > 1 {
				listFirst = !listFirst
			}
		}
	}
}

func (f *front) serveStages(ctx context.Context, stages []*model) {
	for i, stage := range stages {
		if i > 0 {
			select {
			case <-ctx.Done():
				return
			case <-time.After(settleTime):
			}
		}
		f.serve(stage)
	}
}

func (f *front) serve(stage *model) {
	before := f.served.Swap(stage)
	if before != nil && before.upstreams.lost(stage.upstreams) {
		f.forward.closeIdle()
	}
	if f.habits.reloadsFor(before, stage) {
		f.clients.reload()
	}
}

// run listens on the port of the class until the context ends.
func (f *front) run(ctx context.Context) error {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", f.class.Port))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Minute}
	f.clients.watch(server)
	return serveBy(ctx, server, listener)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	noteRequest(w, r)
	now := f.served.Load()
	if now == nil {
		refuse(w, r, http.StatusServiceUnavailable, "the cluster has not been read yet")
		return
	}
	found := now.routes.find(hostname(r.Host), r.URL.Path)
	if found == nil {
		refuse(w, r, http.StatusNotFound, "no Ingress has this host and path")
		return
	}
	to, known := now.choose(found, r.Header)
	if !known || len(to.endpoints) == 0 {
		refuse(w, r, http.StatusServiceUnavailable, fmt.Sprintf("%s of ingress %s: known %t, %d endpoints",
			found.upstream, found.ingress, known, len(to.endpoints)))
		return
	}
	if found.rewrite != "" {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = found.target(r.URL.Path), ""
	}
	endpoints := to.endpoints
	if f.habits.stickyServices && to.sticky != "" {
		endpoints = stick(to, w, r)
	}
	scheme := "http"
	if f.habits.guessesTLS && to.tls {
		scheme = "https"
	}
	f.forward.to(scheme, endpoints, w, r)
}

// stick gives the endpoint that the cookie names. A client without one gets any
// endpoint, and its cookie.
func stick(to upstream, w http.ResponseWriter, r *http.Request) []netip.AddrPort {
	if cookie, err := r.Cookie(to.sticky); err == nil {
		for i, one := range to.endpoints {
			if cookie.Value == cookieOf(one) {
				return to.endpoints[i : i+1]
			}
		}
	}
	chosen := to.endpoints[rand.IntN(len(to.endpoints))]
	http.SetCookie(w, &http.Cookie{Name: to.sticky, Value: cookieOf(chosen), Path: "/"})
	return []netip.AddrPort{chosen}
}

func cookieOf(endpoint netip.AddrPort) string {
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(endpoint.String())) // never fails
	return fmt.Sprintf("%x", hash.Sum64())
}

// refuse answers with an error of the controller. Clients only count these; the log
// has the reason.
func refuse(w http.ResponseWriter, r *http.Request, status int, why string) {
	slog.Warn("refused", "status", status, "why", why, "method", r.Method, "host", r.Host, "path", r.URL.Path)
	http.Error(w, "e2e controller: "+why, status)
}
