package restore

import (
	"context"
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// managed selects the objects with the label of the migration proxy.
var managed = metav1.ListOptions{LabelSelector: names.ManagedByLabel + "=" + names.Manager}

// object is one that webhook or watcher has generated.
type object struct{ resource, namespace, name string }

// generated lists the anchors, Services and EndpointSlices that the watcher has
// generated, in all namespaces and in this order. The Service of the Helm chart is
// not one.
func (r restorer) generated(ctx context.Context) ([]object, error) {
	ingresses, err := r.NetworkingV1().Ingresses(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return nil, installation.Right{Verb: "list", Resource: installation.Ingresses}.Explain(err)
	}
	services, err := r.CoreV1().Services(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return nil, installation.Right{Verb: "list", Resource: installation.Services}.Explain(err)
	}
	slices, err := r.DiscoveryV1().EndpointSlices(metav1.NamespaceAll).List(ctx, managed)
	if err != nil {
		return nil, installation.Right{Verb: "list", Resource: installation.EndpointSlices}.Explain(err)
	}
	var all []object
	for i := range ingresses.Items {
		if anchor := &ingresses.Items[i]; ingressgen.IsAnchor(anchor) {
			all = append(all, object{installation.Ingresses, anchor.Namespace, anchor.Name})
		}
	}
	for i := range services.Items {
		service := &services.Items[i]
		chart := service.Namespace == r.Namespace && service.Name == names.ProxyService
		if ingressgen.IsGeneratedService(service) && !chart {
			all = append(all, object{installation.Services, service.Namespace, service.Name})
		}
	}
	for _, slice := range slices.Items {
		// Kubernetes copies the labels of a Service to the slices that it makes itself.
		if slice.Labels[discoveryv1.LabelManagedBy] == names.Manager {
			all = append(all, object{installation.EndpointSlices, slice.Namespace, slice.Name})
		}
	}
	return all, nil
}

// deleteGenerated deletes them. When one fails, the others are deleted all the
// same.
func (r restorer) deleteGenerated(ctx context.Context) (done progress, err error) {
	generated, err := r.generated(ctx)
	if err != nil {
		return done, err
	}
	var failed []error
	for _, object := range generated {
		if err := r.delete(ctx, object); err != nil {
			failed = append(failed, err)
		} else {
			done.deleted++
		}
		if ctx.Err() != nil {
			break
		}
	}
	return done, errors.Join(failed...)
}

// delete deletes one object. One that is gone already counts as deleted.
func (r restorer) delete(ctx context.Context, o object) (err error) {
	switch o.resource {
	case installation.Ingresses:
		err = r.NetworkingV1().Ingresses(o.namespace).Delete(ctx, o.name, metav1.DeleteOptions{DryRun: r.dryRun()})
	case installation.Services:
		err = r.CoreV1().Services(o.namespace).Delete(ctx, o.name, metav1.DeleteOptions{DryRun: r.dryRun()})
	case installation.EndpointSlices:
		err = r.DiscoveryV1().EndpointSlices(o.namespace).Delete(ctx, o.name, metav1.DeleteOptions{DryRun: r.dryRun()})
	default:
		return fmt.Errorf("defect: delete %s", o.resource)
	}
	if err != nil && !apierrors.IsNotFound(err) {
		return installation.Right{Verb: "delete", Resource: o.resource, Namespace: o.namespace}.Explain(err)
	}
	if r.plan && err == nil {
		return r.planned("delete", o, nil)
	}
	return nil
}
