package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/migration-proxy/migration-proxy/e2e/grpcside"
	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// backend is an application: it answers with its name, or fails as its outage says. It
// takes calls of gRPC on the same port.
type backend struct {
	name  string
	port  int
	tls   *tls.Config // nil: plain
	calls http.Handler

	mu     sync.Mutex
	outage wire.Outage
	change chan struct{} // closed when the outage changes
	counts wire.Counts
	served int // requests, for Outage.Every
}

func newBackend(name string) *backend {
	return &backend{
		name: name, port: wire.TrafficPort, change: make(chan struct{}),
		counts: wire.Counts{Paths: map[string]int{}, Hosts: map[string]int{}},
	}
}

// protocols are those of an application of gRPC: HTTP/2 by ALPN, or with prior knowledge.
func protocols() *http.Protocols {
	var all http.Protocols
	all.SetHTTP1(true)
	all.SetHTTP2(true)
	all.SetUnencryptedHTTP2(true)
	return &all
}

func runBackend(ctx context.Context, args []string, control *http.ServeMux) error {
	b := newBackend("")
	encrypted := false
	err := flags("backend", args, func(set *flag.FlagSet) {
		set.StringVar(&b.name, "name", "backend", "what it answers with")
		set.BoolVar(&encrypted, "tls", false, "https, with a certificate of its own making, on the TLS port")
	})
	if err != nil {
		return err
	}
	if encrypted {
		b.port = wire.TLSPort
		if b.tls, err = selfSigned(); err != nil {
			return err
		}
	}
	b.calls = (&grpcside.Side{Name: b.name}).Serve()
	b.register(control)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, wire.ControlPort, control) })
	group.Go(func() error { return b.serve(ctx) })
	return group.Wait()
}

func (b *backend) register(control *http.ServeMux) {
	control.HandleFunc("GET "+wire.PathReady, func(http.ResponseWriter, *http.Request) {})
	control.HandleFunc("POST "+wire.PathOutage, exchange(b.setOutage))
	control.HandleFunc("GET "+wire.PathCounts, func(w http.ResponseWriter, _ *http.Request) { reply(w, b.counted(), nil) })
}

func (b *backend) setOutage(_ context.Context, outage wire.Outage) (wire.Outage, error) {
	switch outage.Mode {
	case wire.Healthy, wire.Hang, wire.Reset, wire.Refuse:
	case wire.Status:
		if outage.Status < 200 || outage.Status > 999 {
			return outage, fmt.Errorf("%d is not a final status", outage.Status)
		}
	default:
		return outage, fmt.Errorf("unknown mode %q", outage.Mode)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outage = outage
	close(b.change)
	b.change = make(chan struct{})
	return outage, nil
}

// current gives the outage in force, and a channel that is closed when it changes.
func (b *backend) current() (wire.Outage, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.outage, b.change
}

func (b *backend) counted() wire.Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := b.counts
	counts.Paths, counts.Hosts = maps.Clone(counts.Paths), maps.Clone(counts.Hosts)
	return counts
}

// serve listens, except during an outage of mode Refuse. Such an outage closes all
// connections, like the end of a process.
func (b *backend) serve(ctx context.Context) error {
	for ctx.Err() == nil {
		outage, change := b.current()
		if outage.Mode == wire.Refuse {
			select {
			case <-ctx.Done():
			case <-change:
			}
			continue
		}
		if err := b.listen(ctx); err != nil {
			return err
		}
	}
	return nil
}

// listen serves until the context ends or an outage of mode Refuse begins.
func (b *backend) listen(ctx context.Context) error {
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", b.port))
	if err != nil {
		return err
	}
	if b.tls != nil {
		listener = tls.NewListener(listener, b.tls)
	}
	server := &http.Server{Handler: b, Protocols: protocols(), ReadHeaderTimeout: time.Minute}
	go func() {
		if b.waitForRefuse(ctx) {
			_ = server.Close()
			return
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(last)
	}()
	if err := server.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// waitForRefuse gives true when an outage of mode Refuse begins, and false when the
// context ends.
func (b *backend) waitForRefuse(ctx context.Context) bool {
	for {
		outage, change := b.current()
		if outage.Mode == wire.Refuse {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-change:
		}
	}
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.counts.Paths[r.URL.Path]++
	b.counts.Hosts[r.Host]++
	b.counts.Last = seen(r)
	b.served++
	outage, spared := b.outage, b.outage.Every > 0 && b.served%b.outage.Every != 0
	b.mu.Unlock()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		b.calls.ServeHTTP(w, r)
		return
	}
	w.Header().Set(testbed.BackendHeader, b.name)
	_, _ = io.Copy(io.Discard, r.Body) // an incomplete body is ignored
	if spared || outage.Method != "" && outage.Method != r.Method {
		return
	}
	switch outage.Mode {
	case wire.Status:
		w.WriteHeader(outage.Status)
	case wire.Hang:
		<-r.Context().Done()
	case wire.Reset:
		testbed.Do("reset").ServeHTTP(w, r)
	}
}

// seen is what the backend records of a request.
func seen(r *http.Request) *wire.Request {
	request := &wire.Request{Host: r.Host, Target: r.RequestURI, Header: r.Header}
	if r.TLS != nil {
		request.SNI = r.TLS.ServerName
	}
	return request
}

// selfSigned makes a certificate that no client trusts: the services of the scenarios
// do not verify it. proxy/behavior tests the verification.
func selfSigned() (*tls.Config, error) {
	authority, err := testbed.NewAuthority()
	if err != nil {
		return nil, err
	}
	certificate, err := authority.Server("new")
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{*certificate}, NextProtos: []string{"h2", "http/1.1"}}, nil
}
