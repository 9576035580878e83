package watcher

import (
	"context"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// objectStores has the objects of the cluster that the watcher follows.
type objectStores struct {
	ingresses         *kube.Store[*networkingv1.Ingress]
	classes           *kube.Store[*networkingv1.IngressClass]
	proxyServices     *kube.Store[*corev1.Service]            // those with the name migration-proxy, also foreign ones
	companionServices *kube.Store[*corev1.Service]            // ours with other names
	chartSlices       *kube.Store[*discoveryv1.EndpointSlice] // of the chart's Service, in the home namespace
	ownSlices         *kube.Store[*discoveryv1.EndpointSlice] // those that the watcher makes
}

func newObjectStores(failures *kube.FailureLog) *objectStores {
	return &objectStores{
		ingresses:         newIngressStore(failures),
		classes:           kube.NewStore("ingressclasses", trimClass, failures),
		proxyServices:     kube.NewStore("services", trimService, failures),
		companionServices: kube.NewStore("services of companions", trimService, failures),
		chartSlices:       kube.NewStore("the proxy's endpointslices", trimSlice, failures),
		ownSlices:         kube.NewStore("endpointslices", trimSlice, failures),
	}
}

// follow fills the stores until ctx ends.
func (s *objectStores) follow(ctx context.Context, client kubernetes.Interface, home string, changes *objectChanges) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		source := kube.Source[*networkingv1.IngressList]{Client: client.NetworkingV1().Ingresses("")}
		kube.Follow(ctx, s.ingresses, source, ingressChanges{changes})
	})
	running.Go(func() {
		source := kube.Source[*networkingv1.IngressClassList]{Client: client.NetworkingV1().IngressClasses()}
		kube.Follow(ctx, s.classes, source, classChanges{changes})
	})
	services, slices := client.CoreV1().Services(""), client.DiscoveryV1().EndpointSlices("")
	running.Go(func() {
		source := kube.Source[*corev1.ServiceList]{Client: services, Fields: "metadata.name=" + names.ProxyService}
		kube.Follow(ctx, s.proxyServices, source, proxyServiceChanges{changes})
	})
	running.Go(func() {
		source := kube.Source[*corev1.ServiceList]{
			Client: services, Fields: "metadata.name!=" + names.ProxyService, Labels: names.ManagedByLabel + "=" + names.Manager,
		}
		kube.Follow(ctx, s.companionServices, source, companionServiceChanges{changes})
	})
	running.Go(func() {
		source := kube.Source[*discoveryv1.EndpointSliceList]{
			Client: client.DiscoveryV1().EndpointSlices(home), Labels: discoveryv1.LabelServiceName + "=" + names.ProxyService,
		}
		kube.Follow(ctx, s.chartSlices, source, chartSliceChanges{changes})
	})
	running.Go(func() {
		source := kube.Source[*discoveryv1.EndpointSliceList]{Client: slices, Labels: discoveryv1.LabelManagedBy + "=" + names.Manager}
		kube.Follow(ctx, s.ownSlices, source, ownSliceChanges{changes})
	})
}

// listed are closed when all stores have their first list.
func (s *objectStores) listed() []<-chan struct{} {
	return []<-chan struct{}{
		s.ingresses.Listed(), s.classes.Listed(), s.proxyServices.Listed(), s.companionServices.Listed(), s.chartSlices.Listed(), s.ownSlices.Listed(),
	}
}

// services is the store with the Services of that name.
func (s *objectStores) services(name string) *kube.Store[*corev1.Service] {
	if name == names.ProxyService {
		return s.proxyServices
	}
	return s.companionServices
}

// sortedSlices are the slices of a store by name.
func sortedSlices(store *kube.Store[*discoveryv1.EndpointSlice]) []discoveryv1.EndpointSlice {
	var sorted []discoveryv1.EndpointSlice
	for _, slice := range store.List() {
		sorted = append(sorted, *slice)
	}
	slices.SortFunc(sorted, func(a, b discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}

// trimIngress keeps of an Ingress that has nothing to do with the migration proxy
// only what may matter to those that have: a cluster may have thousands of them.
func trimIngress(ingress *networkingv1.Ingress) {
	if !isRelevant(ingress) {
		ingressgen.TrimNeighbor(ingress)
	}
}

func trimClass(class *networkingv1.IngressClass) { class.ManagedFields = nil }

func trimService(service *corev1.Service) { service.ManagedFields = nil }

func trimSlice(slice *discoveryv1.EndpointSlice) { slice.ManagedFields = nil }

// isRelevant reports whether the Ingress is a companion, or is, or was, to be
// migrated.
func isRelevant(ingress *networkingv1.Ingress) bool {
	return ingress != nil && (isOurs(ingress) || isAnnotated(ingress))
}

// isAnnotated reports whether the Ingress has the annotation to opt in, with
// whatever value, or carries anything of ours.
func isAnnotated(ingress *networkingv1.Ingress) bool {
	_, annotated := ingress.Annotations[ingressgen.AnnotationEnabled]
	return annotated || ingressgen.Touched(ingress)
}
