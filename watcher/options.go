package watcher

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ControllerLag is more than an ingress controller takes to see that an Ingress
// no longer points at us.
const ControllerLag = 30 * time.Second

// Options is what a Watcher needs. Only Config is required.
type Options struct {
	// Config reaches the API server. The Watcher makes a client of its own
	// from a copy of it, with a rate of its own.
	Config *rest.Config

	Namespace string // of our own objects; empty: names.Namespace

	// Ask gets one replica's /status; nil: over HTTP from the Pod's address.
	Ask kube.StatusGetter
	// Linger is how long the proxy's Service stays in a namespace where no
	// Ingress needs it any more, so that no ingress controller sees the
	// Service go before the Ingress changed; 0: ControllerLag.
	Linger time.Duration
	// Notice is how long such a Service is there before an Ingress is pointed
	// at it, and how long admission has stopped to use it before it goes: time
	// for others to hear of it; 0: 1 second.
	Notice time.Duration
	Log    *slog.Logger // nil: slog.Default()
}

const (
	// perSecond and burst bound our requests, so that a fallback of
	// thousands of Ingresses does not starve others at the API server. 5,000
	// Ingresses take 10 s at least; the services of one host take one burst.
	perSecond = 400
	burst     = 800
	// Events have a client of their own: a new leader may have one to write for
	// each Ingress at once, and no other write may wait for these.
	eventsPerSecond = 50
	eventsBurst     = 100
	// workers write Ingresses, mirrors the proxy's endpoints, at once.
	workers = 8
	mirrors = 8
	// writeTimeout bounds one request: the next try may find another server.
	writeTimeout = 5 * time.Second
)

func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, names.Namespace)
	o.Linger = cmp.Or(o.Linger, ControllerLag)
	o.Notice = cmp.Or(o.Notice, time.Second)
	if o.Ask == nil {
		o.Ask = kube.FromPodAddress(true)
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	return o
}

func (o Options) client(perSecond float32, burst int) (kubernetes.Interface, error) {
	own := rest.CopyConfig(o.Config)
	own.QPS, own.Burst = perSecond, burst
	made, err := kubernetes.NewForConfig(own)
	if err != nil {
		return nil, fmt.Errorf("make the watcher's API client: %w", err)
	}
	return made, nil
}

func (o Options) object(client kubernetes.Interface, name string) kube.NamedConfigMap {
	return kube.NamedConfigMap{Client: client, Namespace: o.Namespace, Name: name, Log: o.Log}
}

// within is a context for one request.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, writeTimeout)
}
