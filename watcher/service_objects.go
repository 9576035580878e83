package watcher

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
)

// ensureService makes a Service with its slices. The slices are written first:
// a Service without endpoints answers 503.
func (r *serviceReconciler) ensureService(ctx context.Context, lifecycle *serviceLifecycle, wanted *corev1.Service) error {
	found := r.stores.services.Get(kube.KeyOf(wanted))
	if found != nil && !ingressgen.IsGeneratedService(found) { // our slices would take its traffic
		return &foreignError{"Service", wanted.Namespace, wanted.Name}
	}
	if err := r.ensureSlices(ctx, wanted); err != nil {
		return err
	}
	if found == nil {
		return r.createService(ctx, lifecycle, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = overlay(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Annotations = overlay(foreignAnnotations(next.Annotations), wanted.Annotations)
	next.Spec = withAddresses(wanted.Spec, found.Spec)
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return r.serviceWriter(kube.KeyOf(next)).Update(ctx, next)
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

func (r *serviceReconciler) createService(ctx context.Context, lifecycle *serviceLifecycle, wanted *corev1.Service) error {
	if err := r.serviceWriter(kube.KeyOf(wanted)).Create(ctx, wanted); err != nil {
		return err
	}
	lifecycle.created = time.Now()
	return nil
}

// refreshSlices keeps the endpoints of an existing Service right, also when no
// Ingress needs it: an ingress controller may still use them.
func (r *serviceReconciler) refreshSlices(ctx context.Context, key types.NamespacedName) error {
	service := r.stores.services.Get(key)
	if service == nil || !ingressgen.IsGeneratedService(service) {
		return r.deleteSlices(ctx, r.slices(key)) // slices without a Service
	}
	return r.ensureSlices(ctx, service)
}

// ensureSlices makes the Service's slices copies of those of the chart's
// Service.
func (r *serviceReconciler) ensureSlices(ctx context.Context, service *corev1.Service) error {
	stale := r.slices(kube.KeyOf(service))
	for _, wanted := range ingressgen.ProxySlices(service, r.mirrored()) {
		if err := r.ensureSlice(ctx, stale[wanted.Name], wanted); err != nil {
			return err
		}
		delete(stale, wanted.Name)
	}
	return r.deleteSlices(ctx, stale)
}

// mirrored are the slices of the chart's Service, without the replicas that vanished.
func (r *serviceReconciler) mirrored() []discoveryv1.EndpointSlice {
	mirrored := sortedSlices(r.stores.chartSlices)
	vanished := r.vanished.Load()
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

func (r *serviceReconciler) ensureSlice(ctx context.Context, found, wanted *discoveryv1.EndpointSlice) error {
	if found == nil {
		return r.sliceWriter(wanted.Namespace).Create(ctx, wanted)
	}
	next := found.DeepCopy()
	next.Labels, next.OwnerReferences = overlay(next.Labels, wanted.Labels), wanted.OwnerReferences
	next.Endpoints, next.Ports = wanted.Endpoints, wanted.Ports
	if equality.Semantic.DeepEqual(found, next) {
		return nil
	}
	return r.sliceWriter(wanted.Namespace).Update(ctx, next)
}

// slices are our slices of a Service, by name.
func (r *serviceReconciler) slices(service types.NamespacedName) map[string]*discoveryv1.EndpointSlice {
	slices := map[string]*discoveryv1.EndpointSlice{}
	for _, slice := range r.stores.ownSlices.By(indexService, service.String()) {
		if isOurs(slice) {
			slices[slice.Name] = slice
		}
	}
	return slices
}

func (r *serviceReconciler) deleteSlices(ctx context.Context, slices map[string]*discoveryv1.EndpointSlice) error {
	for _, slice := range slices {
		if err := r.sliceWriter(slice.Namespace).Delete(ctx, slice); err != nil {
			return err
		}
	}
	return nil
}

// deleteService removes our Service after its anchors, which point at it, and then
// its slices: a Service without endpoints would answer 503.
func (r *serviceReconciler) deleteService(ctx context.Context, key types.NamespacedName) error {
	for _, anchor := range r.anchors(key) {
		if err := r.anchorWriter(key.Namespace).Delete(ctx, anchor); err != nil {
			return err
		}
	}
	if service := r.stores.services.Get(key); service != nil && ingressgen.IsGeneratedService(service) {
		if err := r.serviceWriter(key).Delete(ctx, service); err != nil {
			return err
		}
	}
	return r.deleteSlices(ctx, r.slices(key))
}

func (r *serviceReconciler) serviceWriter(key types.NamespacedName) apiwrite.Objects[*corev1.Service] {
	return apiwrite.Objects[*corev1.Service]{
		Client: r.client.CoreV1().Services(key.Namespace), Store: r.stores.services, Counter: r.writes, Kind: "Service", Counted: "Service",
	}
}

func (r *serviceReconciler) sliceWriter(namespace string) apiwrite.Objects[*discoveryv1.EndpointSlice] {
	return apiwrite.Objects[*discoveryv1.EndpointSlice]{
		Client: r.client.DiscoveryV1().EndpointSlices(namespace), Store: r.stores.ownSlices, Counter: r.writes, Kind: "EndpointSlice", Counted: "EndpointSlice",
	}
}
