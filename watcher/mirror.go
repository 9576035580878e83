package watcher

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// mirror keeps our Services and their EndpointSlices as the proxy's own has
// them, where Ingresses need them: Service migration-proxy in a namespace, and
// one for each companion.
type mirror struct {
	client    kubernetes.Interface
	home      string // our own namespace, which has the chart's Service
	linger    time.Duration
	notice    time.Duration
	view      *atomic.Pointer[view]
	ingresses *shelf[*networkingv1.Ingress]
	named     *shelf[*corev1.Service]            // those called migration-proxy, whoever's they are
	companion *shelf[*corev1.Service]            // ours that are called otherwise
	sources   *shelf[*discoveryv1.EndpointSlice] // of the chart's Service
	slices    *shelf[*discoveryv1.EndpointSlice] // ours
	metrics   *metrics
	later     func(service types.NamespacedName, after time.Duration)

	// announce tells the owner that admission may, or may no longer, point
	// Ingresses of a namespace at its Service. withdraw comes back when that
	// it may not is recorded.
	announce func(ctx context.Context, namespace string, provided bool)
	withdraw func(ctx context.Context, namespace string) error

	mu    sync.Mutex
	posts map[types.NamespacedName]*post
}

// post is what must be remembered of one Service. Who holds its lock is the
// only one to make or remove it: one that an Ingress is about to be pointed at
// must not be removed in between.
type post struct {
	sync.Mutex
	told      bool      // to admission, through the owner: whether it is there
	provided  bool      // what was told
	made      time.Time // by us; zero: it was there before
	idle      time.Time // since when nothing needs it; zero: something does
	withdrawn time.Time // since when admission does not use it; zero: it may
}

func (m *mirror) lock(service types.NamespacedName) *post {
	for {
		found := m.post(service)
		found.Lock()
		if m.post(service) == found {
			return found
		}
		found.Unlock() // it was dropped meanwhile
	}
}

func (m *mirror) post(service types.NamespacedName) *post {
	m.mu.Lock()
	defer m.mu.Unlock()
	found := m.posts[service]
	if found == nil {
		found = &post{}
		m.posts[service] = found
	}
	return found
}

// drop is for who holds the post's lock, when there is nothing to remember: the
// Service is gone.
func (m *mirror) drop(service types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.posts, service)
}

// settling is how much longer the Service has to be there until something that
// does not yet may point at it. An ingress controller hears of Ingresses,
// Services and EndpointSlices by three watches, and one that hears of the
// Ingress first answers 503 until it looks again, which for ingress-nginx may
// take 3 s.
func (p *post) settling(notice time.Duration) time.Duration {
	return max(notice-time.Since(p.made), 0)
}

func (m *mirror) chart(service types.NamespacedName) bool {
	return service.Namespace == m.home && service.Name == names.ProxyService
}

// stands: the Service is there, and what it lacks is brought by our own queue.
func (m *mirror) stands(service types.NamespacedName) bool {
	found := m.service(service)
	return found != nil && ours(found)
}

// provide sees to it that a Service and its endpoints are there. Nothing may be
// pointed at it before wait is over.
func (m *mirror) provide(ctx context.Context, service *corev1.Service) (wait time.Duration, err error) {
	if m.chart(keyOf(service)) {
		return 0, nil
	}
	post := m.lock(keyOf(service))
	defer post.Unlock()
	return m.tend(ctx, post, service)
}

// tend makes the Service be as it must, and tells admission of it.
func (m *mirror) tend(ctx context.Context, post *post, service *corev1.Service) (wait time.Duration, err error) {
	post.idle, post.withdrawn = time.Time{}, time.Time{}
	if err := m.fill(ctx, post, service); err != nil {
		if errors.As(err, new(*foreignError)) {
			m.tell(ctx, post, keyOf(service), false)
			return 0, cmp.Or(m.remove(ctx, m.mirrored(keyOf(service))), err)
		}
		return 0, err
	}
	wait = post.settling(m.notice)
	if wait == 0 {
		m.tell(ctx, post, keyOf(service), true)
	}
	return wait, nil
}

// tell: admission points Ingresses at migration-proxy only. It is told what is
// news: endpoints do not wait for the owner.
func (m *mirror) tell(ctx context.Context, post *post, service types.NamespacedName, provided bool) {
	if service.Name != names.ProxyService || post.told && post.provided == provided {
		return
	}
	m.announce(ctx, service.Namespace, provided)
	post.told, post.provided = true, provided
}

// bring makes a Service be as it must: whole while an Ingress needs it, away
// some time after the last one did. It makes none where nothing of it is:
// provide does, which knows what an Ingress will need.
func (m *mirror) bring(ctx context.Context, service types.NamespacedName) error {
	if m.chart(service) {
		return nil
	}
	post := m.lock(service)
	defer post.Unlock()
	wanted, paused := m.wanted(service), m.view.Load().state.Paused != ""
	switch {
	case !m.has(service):
		m.tell(ctx, post, service, false)
		m.drop(service)
		return nil
	case wanted != nil && paused: // what others remove is not made again
		return m.refresh(ctx, service)
	case wanted == nil:
		return m.leave(ctx, post, service)
	}
	wait, err := m.tend(ctx, post, wanted)
	if errors.As(err, new(*foreignError)) {
		return nil // the Ingress has an Event that says so
	}
	if wait > 0 {
		m.later(service, wait)
	}
	return err
}

// leave takes a Service away that nothing needs, when that is so since long
// enough, and when admission has been told.
func (m *mirror) leave(ctx context.Context, post *post, service types.NamespacedName) error {
	if post.idle.IsZero() {
		post.idle = time.Now()
	}
	if left := m.linger - time.Since(post.idle); left > 0 {
		m.later(service, left)
		return m.refresh(ctx, service)
	}
	if service.Name == names.ProxyService {
		left, err := m.withdrawing(ctx, post, service.Namespace)
		if err != nil {
			return err
		}
		if left > 0 {
			m.later(service, left)
			return nil
		}
	}
	if err := m.empty(ctx, service); err != nil {
		return err
	}
	m.drop(service)
	return nil
}

// withdrawing is how much longer an answer of admission may be on its way that
// points an Ingress at the namespace's Service.
func (m *mirror) withdrawing(ctx context.Context, post *post, namespace string) (left time.Duration, err error) {
	if post.withdrawn.IsZero() {
		post.told, post.provided = true, false
		if err := m.withdraw(ctx, namespace); err != nil {
			return 0, err
		}
		post.withdrawn = time.Now()
	}
	return m.notice - time.Since(post.withdrawn), nil
}

// wanted is what the Service must be; nil when nothing needs it. Service
// migration-proxy is needed by an Ingress that carries anything of ours, be it
// only that it has fallen back; another by its companion.
func (m *mirror) wanted(service types.NamespacedName) *corev1.Service {
	if same := m.ingresses.get(service); same != nil && ours(same) && pointsAt(same, service.Name) {
		return ingressgen.CompanionService(same)
	}
	for _, ingress := range m.ingresses.in(service.Namespace) {
		switch {
		case ours(ingress) && pointsAt(ingress, service.Name) && service.Name != names.ProxyService:
			return ingressgen.CompanionService(ingress)
		case !ours(ingress) && ingressgen.Touched(ingress) && service.Name == names.ProxyService:
			return ingressgen.ProxyService(service.Namespace)
		}
	}
	return nil
}

// pointsAt tells where a companion points: all of it at one Service.
func pointsAt(companion *networkingv1.Ingress, service string) bool {
	for _, rule := range companion.Spec.Rules {
		if rule.HTTP != nil && len(rule.HTTP.Paths) > 0 && rule.HTTP.Paths[0].Backend.Service != nil {
			return rule.HTTP.Paths[0].Backend.Service.Name == service
		}
	}
	return false
}

func (m *mirror) has(service types.NamespacedName) bool {
	return m.stands(service) || len(m.mirrored(service)) > 0
}

// service is what the cluster has by that name, perhaps somebody else's; nil
// if nothing. (Of somebody else's that is not called migration-proxy only the
// API server knows.)
func (m *mirror) service(service types.NamespacedName) *corev1.Service {
	return m.shelf(service.Name).get(service)
}

func (m *mirror) shelf(name string) *shelf[*corev1.Service] {
	if name == names.ProxyService {
		return m.named
	}
	return m.companion
}

// all are our Services, in no order.
func (m *mirror) all() []types.NamespacedName {
	var found []types.NamespacedName
	for _, shelf := range []*shelf[*corev1.Service]{m.named, m.companion} {
		for key, service := range shelf.all() {
			if ours(service) {
				found = append(found, key)
			}
		}
	}
	return found
}

func (m *mirror) mirrored(service types.NamespacedName) map[string]*discoveryv1.EndpointSlice {
	found := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range m.slices.in(service.Namespace) {
		if ours(slice) && slice.Labels[discoveryv1.LabelServiceName] == service.Name {
			found[slice.Name] = slice
		}
	}
	return found
}

// endpoints are the slices of the chart's Service, sorted by name.
func (m *mirror) endpoints() []discoveryv1.EndpointSlice {
	var found []discoveryv1.EndpointSlice
	for _, slice := range m.sources.in(m.home) {
		found = append(found, *slice)
	}
	slices.SortFunc(found, func(a, b discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return found
}
