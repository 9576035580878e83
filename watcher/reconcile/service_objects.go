package reconcile

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// VanishedReplicas are the addresses that our Services leave out. The state loop writes
// them, the reconciler of Services reads them.
type VanishedReplicas = atomic.Pointer[map[netip.Addr]struct{}]

// serviceObjects writes our Services, their EndpointSlices and anchors.
type serviceObjects struct {
	client   kubernetes.Interface
	stores   *objects.Stores
	writes   apiwrite.Counter
	vanished *VanishedReplicas
}

// ensureService makes a Service with its slices. The slices are written first:
// a Service without endpoints answers 503.
func (o serviceObjects) ensureService(ctx context.Context, lifecycle *serviceLifecycle, wanted *corev1.Service) error {
	found := o.stores.Services.Get(kube.KeyOf(wanted))
	if found != nil && !ingressgen.IsGeneratedService(found) { // our slices would take its traffic
		return &foreignError{"Service", wanted.Namespace, wanted.Name}
	}
	if err := o.ensureSlices(ctx, wanted); err != nil {
		return err
	}
	if found == nil {
		return o.createService(ctx, lifecycle, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = overlay(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Annotations = overlay(foreignAnnotations(next.Annotations), wanted.Annotations)
	next.Spec = withAddresses(wanted.Spec, found.Spec)
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return o.serviceWriter(kube.KeyOf(next)).Update(ctx, next)
}

// foreignAnnotations are the annotations that are not for ingress controllers: those of
// the cluster's tools.
func foreignAnnotations(annotations map[string]string) map[string]string {
	foreign := maps.Clone(annotations)
	maps.DeleteFunc(foreign, func(name, _ string) bool { return ingressgen.IsOfController(name) })
	return foreign
}

// withAddresses is the wanted spec with what the API server has chosen. All else
// is put back: the Service leads to the applications of all namespaces, so users
// of one namespace must not open it to the outside, and session affinity or a
// traffic policy would keep requests from some replicas.
func withAddresses(wanted, found corev1.ServiceSpec) corev1.ServiceSpec {
	next := *wanted.DeepCopy()
	next.ClusterIP, next.ClusterIPs = found.ClusterIP, found.ClusterIPs
	next.IPFamilies, next.IPFamilyPolicy = found.IPFamilies, found.IPFamilyPolicy
	next.SessionAffinity = corev1.ServiceAffinityNone
	next.InternalTrafficPolicy = new(corev1.ServiceInternalTrafficPolicyCluster)
	return next
}

func (o serviceObjects) createService(ctx context.Context, lifecycle *serviceLifecycle, wanted *corev1.Service) error {
	if err := o.serviceWriter(kube.KeyOf(wanted)).Create(ctx, wanted); err != nil {
		return err
	}
	lifecycle.created = time.Now()
	return nil
}

// refreshSlices keeps the endpoints of an existing Service right, also when no
// Ingress needs it: an ingress controller may still use them.
func (o serviceObjects) refreshSlices(ctx context.Context, key types.NamespacedName) error {
	service := o.stores.Services.Get(key)
	if service == nil || !ingressgen.IsGeneratedService(service) {
		return o.deleteSlices(ctx, o.slices(key)) // slices without a Service
	}
	return o.ensureSlices(ctx, service)
}

// ensureSlices makes the Service's slices copies of those of the chart's
// Service.
func (o serviceObjects) ensureSlices(ctx context.Context, service *corev1.Service) error {
	stale := o.slices(kube.KeyOf(service))
	for _, wanted := range ingressgen.ProxySlices(service, o.mirrored()) {
		if err := o.ensureSlice(ctx, stale[wanted.Name], wanted); err != nil {
			return err
		}
		delete(stale, wanted.Name)
	}
	return o.deleteSlices(ctx, stale)
}

// mirrored are the slices of the chart's Service, without the replicas that vanished.
func (o serviceObjects) mirrored() []discoveryv1.EndpointSlice {
	mirrored := objects.SortedSlices(o.stores.ChartSlices)
	vanished := o.vanished.Load()
	if vanished == nil || len(*vanished) == 0 {
		return mirrored
	}
	for i := range mirrored {
		mirrored[i].Endpoints = slices.DeleteFunc(slices.Clone(mirrored[i].Endpoints), func(endpoint discoveryv1.Endpoint) bool {
			address, _ := netip.ParseAddr(endpoint.Addresses[0]) // the API server takes no endpoint without one
			_, gone := (*vanished)[address]
			return gone
		})
	}
	return mirrored
}

func (o serviceObjects) ensureSlice(ctx context.Context, found, wanted *discoveryv1.EndpointSlice) error {
	if found == nil {
		return o.sliceWriter(wanted.Namespace).Create(ctx, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = overlay(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Endpoints, next.Ports = wanted.Endpoints, wanted.Ports
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return o.sliceWriter(wanted.Namespace).Update(ctx, next)
}

// slices are our slices of a Service, by name.
func (o serviceObjects) slices(service types.NamespacedName) map[string]*discoveryv1.EndpointSlice {
	slices := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range o.stores.OwnSlices.By(objects.IndexService, service.String()) {
		if objects.IsOurs(slice) {
			slices[slice.Name] = slice
		}
	}
	return slices
}

func (o serviceObjects) deleteSlices(ctx context.Context, slices map[string]*discoveryv1.EndpointSlice) error {
	for _, slice := range slices {
		if err := o.sliceWriter(slice.Namespace).Delete(ctx, slice); err != nil {
			return err
		}
	}
	return nil
}

func (o serviceObjects) serviceWriter(key types.NamespacedName) apiwrite.Objects[*corev1.Service] {
	return apiwrite.Objects[*corev1.Service]{
		Client: o.client.CoreV1().Services(key.Namespace), Store: o.stores.Services, Counter: o.writes, Kind: "Service", Counted: "Service",
	}
}

func (o serviceObjects) sliceWriter(namespace string) apiwrite.Objects[*discoveryv1.EndpointSlice] {
	return apiwrite.Objects[*discoveryv1.EndpointSlice]{
		Client: o.client.DiscoveryV1().EndpointSlices(namespace), Store: o.stores.OwnSlices, Counter: o.writes, Kind: "EndpointSlice", Counted: "EndpointSlice",
	}
}

// leadsElsewhere reports whether our Service leads to another port of the proxy than
// it must: the protocol of its service has changed.
func (o serviceObjects) leadsElsewhere(wanted *corev1.Service) bool {
	found := o.stores.Services.Get(kube.KeyOf(wanted))
	return found != nil && objects.IsOurs(found) && len(found.Spec.Ports) > 0 && found.Spec.Ports[0].TargetPort != wanted.Spec.Ports[0].TargetPort
}

// exists reports whether our Service exists. The queue repairs what it lacks.
func (o serviceObjects) exists(service types.NamespacedName) bool {
	found := o.stores.Services.Get(service)
	return found != nil && ingressgen.IsGeneratedService(found)
}
