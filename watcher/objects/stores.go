package objects

import (
	"context"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Stores has the objects of the cluster that the watcher follows.
type Stores struct {
	Ingresses   *kube.Store[*networkingv1.Ingress]
	Classes     *kube.Store[*networkingv1.IngressClass]
	Services    *kube.Store[*corev1.Service]            // all of the cluster; of foreign ones only what trimService keeps
	ChartSlices *kube.Store[*discoveryv1.EndpointSlice] // of the chart's Service, in the home namespace
	OwnSlices   *kube.Store[*discoveryv1.EndpointSlice] // those that the watcher makes
}

// NewStores makes stores, which are empty before Follow runs.
func NewStores(failures *kube.FailureLog) *Stores {
	stores := &Stores{
		Ingresses:   newIngressStore(failures),
		Classes:     kube.NewStore("ingressclasses", trimClass, failures),
		Services:    kube.NewStore("services", trimService, failures),
		ChartSlices: kube.NewStore("the proxy's endpointslices", trimSlice, failures),
		OwnSlices:   kube.NewStore("endpointslices", trimSlice, failures),
	}
	stores.OwnSlices.IndexBy(IndexService, func(slice *discoveryv1.EndpointSlice) []string {
		return keysIn(slice.Namespace, []string{slice.Labels[discoveryv1.LabelServiceName]})
	})
	return stores
}

// Observers are told the changes of the stores of the same names.
type Observers struct {
	Ingresses   kube.Observer[*networkingv1.Ingress]
	Classes     kube.Observer[*networkingv1.IngressClass]
	Services    kube.Observer[*corev1.Service]
	ChartSlices kube.Observer[*discoveryv1.EndpointSlice]
	OwnSlices   kube.Observer[*discoveryv1.EndpointSlice]
}

// Follow fills the stores until ctx ends.
func (s *Stores) Follow(ctx context.Context, client kubernetes.Interface, home string, observers Observers) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		source := kube.Source[*networkingv1.IngressList]{Client: client.NetworkingV1().Ingresses("")}
		kube.Follow(ctx, s.Ingresses, source, observers.Ingresses)
	})
	running.Go(func() {
		source := kube.Source[*networkingv1.IngressClassList]{Client: client.NetworkingV1().IngressClasses()}
		kube.Follow(ctx, s.Classes, source, observers.Classes)
	})
	running.Go(func() {
		source := kube.Source[*corev1.ServiceList]{Client: client.CoreV1().Services("")}
		kube.Follow(ctx, s.Services, source, observers.Services)
	})
	running.Go(func() {
		source := kube.Source[*discoveryv1.EndpointSliceList]{
			Client: client.DiscoveryV1().EndpointSlices(home), Labels: discoveryv1.LabelServiceName + "=" + names.ProxyService,
		}
		kube.Follow(ctx, s.ChartSlices, source, observers.ChartSlices)
	})
	running.Go(func() {
		slices := client.DiscoveryV1().EndpointSlices("")
		source := kube.Source[*discoveryv1.EndpointSliceList]{Client: slices, Labels: discoveryv1.LabelManagedBy + "=" + names.Manager}
		kube.Follow(ctx, s.OwnSlices, source, observers.OwnSlices)
	})
}

// Listed are closed when all stores have their first list.
func (s *Stores) Listed() []<-chan struct{} {
	return []<-chan struct{}{
		s.Ingresses.Listed(), s.Classes.Listed(), s.Services.Listed(), s.ChartSlices.Listed(), s.OwnSlices.Listed(),
	}
}

// SortedSlices are the slices of a store by name.
func SortedSlices(store *kube.Store[*discoveryv1.EndpointSlice]) []discoveryv1.EndpointSlice {
	var sorted []discoveryv1.EndpointSlice
	for _, slice := range store.List() {
		sorted = append(sorted, *slice)
	}
	slices.SortFunc(sorted, func(a, b discoveryv1.EndpointSlice) int { return strings.Compare(a.Name, b.Name) })
	return sorted
}
