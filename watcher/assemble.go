package watcher

import (
	"context"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// parts is one run of the Watcher: who does what, wired.
type parts struct {
	*Watcher
	events    *eventWriter
	owner     *owner
	asker     *asker
	keeper    *keeper
	mirror    *mirror
	ingresses *work[types.NamespacedName]
	services  *work[types.NamespacedName]

	ingressShelf   *shelf[*networkingv1.Ingress]
	namedShelf     *shelf[*corev1.Service] // called migration-proxy, whoever's
	companionShelf *shelf[*corev1.Service] // ours of other names
	sourceShelf    *shelf[*discoveryv1.EndpointSlice]
	sliceShelf     *shelf[*discoveryv1.EndpointSlice]
}

func (w *Watcher) assemble(events *eventWriter) *parts {
	p := &parts{
		Watcher: w, events: events,
		ingressShelf:   newShelf[*networkingv1.Ingress]("ingresses"),
		namedShelf:     newShelf[*corev1.Service]("services"),
		companionShelf: newShelf[*corev1.Service]("services of companions"),
		sourceShelf:    newShelf[*discoveryv1.EndpointSlice]("the proxy's endpointslices"),
		sliceShelf:     newShelf[*discoveryv1.EndpointSlice]("endpointslices"),
	}
	view := &atomic.Pointer[view]{}
	p.makeMirror(view)
	p.makeKeeper(view)
	p.makeOwner(view)
	p.connect()
	return p
}

func (p *parts) makeMirror(view *atomic.Pointer[view]) {
	p.mirror = &mirror{
		client: p.client, home: p.options.Namespace, linger: p.options.Linger, notice: p.options.Notice,
		view: view, ingresses: p.ingressShelf, metrics: p.metrics, posts: map[types.NamespacedName]*post{},
		named: p.namedShelf, companion: p.companionShelf, sources: p.sourceShelf, slices: p.sliceShelf,
		later: func(service types.NamespacedName, after time.Duration) { p.services.queue.AddAfter(service, after) },
		announce: func(ctx context.Context, namespace string, provided bool) {
			p.owner.send(ctx, func(owner *owner) bool { return owner.takeNamespace(namespace, provided) })
		},
		withdraw: func(ctx context.Context, namespace string) error { return p.owner.withdraw(ctx, namespace) },
	}
	p.services = newWork("Service", p.faults, p.mirror.bring)
}

func (p *parts) makeKeeper(view *atomic.Pointer[view]) {
	p.keeper = &keeper{
		client: p.client, view: view, shelf: p.ingressShelf, mirror: p.mirror, metrics: p.metrics, events: p.events,
		warnings: map[types.NamespacedName]string{},
		later:    func(key types.NamespacedName, after time.Duration) { p.ingresses.queue.AddAfter(key, after) },
		done: func(ctx context.Context, o outcome) {
			p.owner.send(ctx, func(owner *owner) bool { return owner.takeOutcome(o) })
		},
	}
	p.ingresses = newWork("Ingress", p.faults, p.keeper.bring)
	p.ingresses.failed = p.keeper.failed
}

func (p *parts) makeOwner(view *atomic.Pointer[view]) {
	o := p.options
	p.asker = &asker{
		get: o.Ask, poke: make(chan struct{}, 1),
		endpoints: func() []kube.Endpoint { return kube.Endpoints(p.mirror.endpoints()) },
		report: func(ctx context.Context, replicas []kube.Replica) {
			p.owner.send(ctx, func(owner *owner) bool { return owner.takeReplicas(replicas) })
		},
	}
	p.owner = &owner{
		inbox: make(chan input), object: o.object(p.client, names.ConfigMap),
		record: &record{maps: p.client.CoreV1().ConfigMaps(o.Namespace), metrics: p.metrics, log: o.Log, name: names.StateMap},
		events: p.events, faults: p.faults, metrics: p.metrics, asker: p.asker, log: o.Log,
		enqueue: p.ingresses.queue.Add, view: view, began: make(chan struct{}), index: newIndex(), kept: true,
		home: o.Namespace, provided: map[string]struct{}{},
		check: func(namespace string) {
			p.services.queue.Add(types.NamespacedName{Namespace: namespace, Name: names.ProxyService})
		},
	}
}

// connect says what each change of an object sets in motion.
func (p *parts) connect() {
	p.ingressShelf.trim = trimIngress
	p.ingressShelf.changed = p.ingressChanged
	trouble := func(what string, err error) { p.faults.report("follow "+what, err) }
	p.ingressShelf.trouble = trouble
	for _, shelf := range []*shelf[*corev1.Service]{p.namedShelf, p.companionShelf} {
		shelf.trim, shelf.trouble = func(service *corev1.Service) { service.ManagedFields = nil }, trouble
	}
	for _, shelf := range []*shelf[*discoveryv1.EndpointSlice]{p.sourceShelf, p.sliceShelf} {
		shelf.trim, shelf.trouble = func(slice *discoveryv1.EndpointSlice) { slice.ManagedFields = nil }, trouble
	}
	p.namedShelf.changed, p.companionShelf.changed = p.namedChanged, p.serviceChanged
	p.sourceShelf.changed, p.sliceShelf.changed = p.sourceChanged, p.sliceChanged
}

// trimIngress leaves of an Ingress that has nothing to do with us only its
// name: a cluster may have thousands of them.
func trimIngress(ingress *networkingv1.Ingress) {
	if concerns(ingress) {
		return
	}
	*ingress = networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: ingress.Namespace, Name: ingress.Name, UID: ingress.UID, ResourceVersion: ingress.ResourceVersion,
	}}
}

// concerns: it is, or was, to be looked at.
func concerns(ingress *networkingv1.Ingress) bool {
	return ingress != nil && (ours(ingress) || speaks(ingress))
}

// speaks: it says whether it has opted in, be it with a word that is not known,
// or it carries anything of ours.
func speaks(ingress *networkingv1.Ingress) bool {
	_, says := ingress.Annotations[ingressgen.AnnotationEnabled]
	return says || ingressgen.Touched(ingress)
}

func (p *parts) ingressChanged(before, now *networkingv1.Ingress) {
	one := either(before, now)
	key := keyOf(one)
	if !concerns(before) && !concerns(now) {
		if now == nil { // it may have been in a companion's way
			p.ingresses.queue.Add(mainOf(key))
		}
		return
	}
	p.ingresses.queue.Add(key)
	p.ingresses.queue.Add(mainOf(key)) // it may be a companion
	p.services.queue.Add(types.NamespacedName{Namespace: key.Namespace, Name: names.ProxyService})
	if ours(one) {
		p.services.queue.Add(keyOf(ingressgen.CompanionService(one)))
	}
	if p.settled() {
		if happened, ok := transition(before, now); ok && !ours(one) {
			p.events.on(now, happened)
		}
	}
}

// settled: the first list is in. What it brings is not news.
func (p *parts) settled() bool {
	select {
	case <-p.ingressShelf.filled:
		return true
	default:
		return false
	}
}

// namedChanged: ours is repaired; one of somebody else may be in the way of the
// namespace's Ingresses, or not any more.
func (p *parts) namedChanged(before, now *corev1.Service) {
	service := either(before, now)
	p.services.queue.Add(keyOf(service))
	if before != nil && now != nil && ours(before) == ours(now) {
		return
	}
	for _, ingress := range p.ingressShelf.in(service.Namespace) {
		if concerns(ingress) {
			p.ingresses.queue.Add(keyOf(ingress))
		}
	}
}

// serviceChanged: a companion's Service is repaired; its Ingress makes it anew.
func (p *parts) serviceChanged(before, now *corev1.Service) {
	service := either(before, now)
	p.services.queue.Add(keyOf(service))
	for _, owner := range service.OwnerReferences {
		if now == nil {
			p.ingresses.queue.Add(types.NamespacedName{Namespace: service.Namespace, Name: owner.Name})
		}
	}
}

// sourceChanged: the endpoints of the chart's Service concern all of ours, at
// once.
func (p *parts) sourceChanged(_, _ *discoveryv1.EndpointSlice) {
	for _, service := range p.mirror.all() {
		p.services.queue.Add(service)
	}
	p.asker.now()
}

func (p *parts) sliceChanged(before, now *discoveryv1.EndpointSlice) {
	slice := either(before, now)
	p.services.queue.Add(types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]})
}

// either gives the newer one that is there.
func either[T any](before, now *T) *T {
	if now != nil {
		return now
	}
	return before
}

// all are the goroutines of one run. The workers begin when there is a view,
// which needs the config, the record and the replicas' first words.
func (p *parts) all() []func(context.Context) {
	state := p.options.object(p.client, names.StateMap)
	return []func(context.Context){
		p.owner.run,
		func(ctx context.Context) { p.followConfigMap(ctx, p.owner.object, p.owner.takeConfig) },
		func(ctx context.Context) { p.followConfigMap(ctx, state, p.owner.takeRecord) },
		func(ctx context.Context) {
			follow(ctx, p.ingressShelf, p.client.NetworkingV1().Ingresses(""), selection{})
		},
		func(ctx context.Context) {
			follow(ctx, p.namedShelf, p.client.CoreV1().Services(""), selection{fields: "metadata.name=" + names.ProxyService})
		},
		func(ctx context.Context) {
			follow(ctx, p.companionShelf, p.client.CoreV1().Services(""), selection{
				fields: "metadata.name!=" + names.ProxyService, labels: names.ManagedByLabel + "=" + names.Manager,
			})
		},
		func(ctx context.Context) {
			follow(ctx, p.sourceShelf, p.client.DiscoveryV1().EndpointSlices(p.options.Namespace),
				selection{labels: discoveryv1.LabelServiceName + "=" + names.ProxyService})
		},
		func(ctx context.Context) {
			follow(ctx, p.sliceShelf, p.client.DiscoveryV1().EndpointSlices(""),
				selection{labels: discoveryv1.LabelManagedBy + "=" + names.Manager})
		},
		p.after(p.asker.run, p.sourceShelf.filled),
		p.after(func(ctx context.Context) { p.ingresses.run(ctx, workers) }, p.filled()...),
		p.after(func(ctx context.Context) { p.services.run(ctx, mirrors) }, p.filled()...),
	}
}

func (p *parts) followConfigMap(ctx context.Context, object kube.NamedConfigMap, take func(*corev1.ConfigMap) bool) {
	_ = object.Follow(ctx, func(version *corev1.ConfigMap) { // ends with ctx, without an error
		p.owner.send(ctx, func(*owner) bool { return take(version) })
	})
}

func (p *parts) filled() []chan struct{} {
	return []chan struct{}{
		p.ingressShelf.filled, p.namedShelf.filled, p.companionShelf.filled, p.sourceShelf.filled, p.sliceShelf.filled, p.owner.began,
	}
}

// after runs a part when all these are closed.
func (p *parts) after(part func(context.Context), ready ...chan struct{}) func(context.Context) {
	return func(ctx context.Context) {
		for _, one := range ready {
			select {
			case <-one:
			case <-ctx.Done():
				return
			}
		}
		part(ctx)
	}
}
