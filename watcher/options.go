package watcher

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// ControllerLag is more than the time that an ingress controller takes to see
// that an Ingress no longer points at the proxy.
const ControllerLag = 30 * time.Second

// AnchorSettle is more than ingress-nginx takes to serve a new Ingress: it looks
// for changes at most once in 3.3 s, and reloads a big config for seconds.
const AnchorSettle = 10 * time.Second

// Options is what a Watcher needs. Only Config is required.
type Options struct {
	// Config reaches the API server. The Watcher makes its own clients from
	// copies of it, with their own rate limits.
	Config *rest.Config
	// Namespace has the objects of the migration proxy; "": names.Namespace.
	Namespace string
	// GetStatus gets the status of one replica; nil: over HTTP from the Pod's
	// address.
	GetStatus kube.StatusGetter
	// GetEvidence gets the evidence of one replica; nil: over HTTP from the Pod's
	// address.
	GetEvidence kube.StatusGetter
	// RampInterval is the time between two steps of a ramp; 0: 10 seconds.
	RampInterval time.Duration
	// Linger is how long the proxy's Service stays in a namespace where no
	// Ingress needs it any more, so that no ingress controller sees the
	// Service go before the Ingress changed; 0: ControllerLag.
	Linger time.Duration
	// Notice is how long such a Service exists before an Ingress is pointed at
	// it; 0: 1 second.
	Notice time.Duration
	// CanaryControllers are the controllers, as IngressClasses name them, that know
	// canary annotations as ingress-nginx does.
	CanaryControllers []string
	// AnchorControllers are the controllers of IngressClasses whose Ingresses get
	// anchors, see ingressgen.Anchor; nil: ingress-nginx. Empty: none.
	AnchorControllers []string
	// AnchorSettle is Notice for a Service with an anchor: the ingress controller
	// must have read the anchor; 0: AnchorSettle.
	AnchorSettle time.Duration
	// NoteWait is how long an entry of the journal waits for who made the change, which
	// admission writes after its answer; 0: 3 seconds.
	NoteWait time.Duration
	// Log; nil: slog.Default().
	Log *slog.Logger
}

const (
	// requestsPerSecond and requestBurst bound the requests of the watcher, so
	// that a fallback of thousands of Ingresses does not starve others at the
	// API server. 5,000 Ingresses take 10 s at least; the services of one host
	// take one burst.
	requestsPerSecond = 400
	requestBurst      = 800
	// Events have a client of their own: a new leader may have one to write for
	// each Ingress, and no other write may wait for these.
	eventsPerSecond = 50
	eventBurst      = 100
)

func (o Options) withDefaults() Options {
	o.Namespace = cmp.Or(o.Namespace, names.Namespace)
	o.Linger = cmp.Or(o.Linger, ControllerLag)
	o.Notice = cmp.Or(o.Notice, time.Second)
	o.NoteWait = cmp.Or(o.NoteWait, 3*time.Second)
	o.AnchorSettle = cmp.Or(o.AnchorSettle, AnchorSettle)
	if o.AnchorControllers == nil {
		o.AnchorControllers = []string{ingressgen.ControllerNginx}
	}
	if o.GetStatus == nil {
		o.GetStatus = kube.FromPodAddress(true)
	}
	if o.GetEvidence == nil {
		o.GetEvidence = kube.EvidenceFromPodAddress()
	}
	o.Log = cmp.Or(o.Log, slog.Default())
	return o
}

func (o Options) client(perSecond float32, burst int) (kubernetes.Interface, error) {
	limited := rest.CopyConfig(o.Config)
	limited.QPS, limited.Burst = perSecond, burst
	client, err := kubernetes.NewForConfig(limited)
	if err != nil {
		return nil, fmt.Errorf("make the watcher's API client: %w", err)
	}
	return client, nil
}

func (o Options) configMap(client kubernetes.Interface, name string) kube.NamedConfigMap {
	return kube.NamedConfigMap{Client: client, Namespace: o.Namespace, Name: name, Log: o.Log}
}
