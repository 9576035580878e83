package main

import (
	"net/http"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// persona has the habits of an ingress controller that people run. docs/e2e.md
// lists them, and docs/controllers.md what they do to headers. The zero value has none.
type persona struct {
	// canaries: it knows ingress-nginx's canary annotations. It attaches a canary to the
	// upstream of the main route, and so to all routes that share this upstream; of two
	// canaries of one upstream it ignores the second.
	canaries bool
	// lateUpstreams: after a change of the routes, the workers and the balancer get the
	// new model one after the other, in changing order. In between, an upstream that
	// only one of the two knows gets 503.
	lateUpstreams bool
	// reloads: a change of the routes ends kept connections.
	reloads bool
	// regexHosts: rewrite-target or use-regex on one Ingress makes all paths of its
	// hosts case-insensitive prefixes.
	regexHosts bool
	// newestWins: of two equal rules the newest wins, which stands for "one wins
	// arbitrarily". Otherwise the oldest wins.
	newestWins bool
	// stickyServices: it reads the sticky cookie from annotations of the Service.
	stickyServices bool
	// guessesTLS: it uses TLS to the port 443 of a Service, and to one whose name begins
	// with https, unless an annotation of the Service says otherwise.
	guessesTLS bool
	// forwarded sets the headers that it adds to a request. in is what the client sent;
	// out has no X-Forwarded-For, -Host and -Proto.
	forwarded func(in *http.Request, out http.Header)
}

var personas = map[string]persona{
	wire.Plain: {canaries: true, forwarded: plainHeaders},
	wire.IngressNginx: {
		canaries: true, lateUpstreams: true, reloads: true, regexHosts: true, forwarded: ingressNginxHeaders,
	},
	wire.Traefik: {newestWins: true, stickyServices: true, guessesTLS: true, forwarded: traefikHeaders},
	wire.HAProxy: {forwarded: haproxyHeaders},
}
