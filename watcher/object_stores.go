package watcher

import (
	"context"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// objectStores has the objects of the cluster that the watcher follows.
type objectStores struct {
	ingresses   *kube.Store[*networkingv1.Ingress]
	classes     *kube.Store[*networkingv1.IngressClass]
	services    *kube.Store[*corev1.Service]            // all of the cluster; of foreign ones only what trimService keeps
	chartSlices *kube.Store[*discoveryv1.EndpointSlice] // of the chart's Service, in the home namespace
	ownSlices   *kube.Store[*discoveryv1.EndpointSlice] // those that the watcher makes
}

func newObjectStores(failures *kube.FailureLog) *objectStores {
	stores := &objectStores{
		ingresses:   newIngressStore(failures),
		classes:     kube.NewStore("ingressclasses", trimClass, failures),
		services:    kube.NewStore("services", trimService, failures),
		chartSlices: kube.NewStore("the proxy's endpointslices", trimSlice, failures),
		ownSlices:   kube.NewStore("endpointslices", trimSlice, failures),
	}
	stores.ownSlices.IndexBy(indexService, func(slice *discoveryv1.EndpointSlice) []string {
		return keysIn(slice.Namespace, []string{slice.Labels[discoveryv1.LabelServiceName]})
	})
	return stores
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
	running.Go(func() {
		source := kube.Source[*corev1.ServiceList]{Client: client.CoreV1().Services("")}
		kube.Follow(ctx, s.services, source, serviceChanges{changes})
	})
	running.Go(func() {
		source := kube.Source[*discoveryv1.EndpointSliceList]{
			Client: client.DiscoveryV1().EndpointSlices(home), Labels: discoveryv1.LabelServiceName + "=" + names.ProxyService,
		}
		kube.Follow(ctx, s.chartSlices, source, chartSliceChanges{changes})
	})
	running.Go(func() {
		slices := client.DiscoveryV1().EndpointSlices("")
		source := kube.Source[*discoveryv1.EndpointSliceList]{Client: slices, Labels: discoveryv1.LabelManagedBy + "=" + names.Manager}
		kube.Follow(ctx, s.ownSlices, source, ownSliceChanges{changes})
	})
}

// listed are closed when all stores have their first list.
func (s *objectStores) listed() []<-chan struct{} {
	return []<-chan struct{}{
		s.ingresses.Listed(), s.classes.Listed(), s.services.Listed(), s.chartSlices.Listed(), s.ownSlices.Listed(),
	}
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

// trimService keeps of a foreign Service what a proxy Service takes over, and what is
// looked up of its ports.
func trimService(service *corev1.Service) {
	service.ManagedFields = nil
	if ingressgen.IsGeneratedService(service) {
		return
	}
	*service = corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: service.Namespace, Name: service.Name, UID: service.UID, ResourceVersion: service.ResourceVersion,
			Annotations: ingressgen.CopiedAnnotations(service.Annotations),
		},
		Spec: corev1.ServiceSpec{Type: service.Spec.Type, Ports: lookedUpPorts(service)},
	}
}

// lookedUpPorts are the ports that namedPorts may look up: those with a name, and all of
// an ExternalName.
func lookedUpPorts(service *corev1.Service) []corev1.ServicePort {
	var ports []corev1.ServicePort
	external := service.Spec.Type == corev1.ServiceTypeExternalName
	for _, port := range service.Spec.Ports {
		if port.Name == "" && !external {
			continue
		}
		kept := corev1.ServicePort{Name: port.Name, Port: port.Port}
		if external {
			kept.TargetPort = port.TargetPort
		}
		ports = append(ports, kept)
	}
	return ports
}

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
