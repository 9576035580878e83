package scan

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/pager"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/scan"
)

// pageSize bounds what one answer of the API server holds.
const pageSize = 500

// cluster is a Source: the Ingresses of a cluster.
type cluster struct {
	*installation.Installation
	namespaces []string
}

// FromCluster scans the namespaces, or without any the whole cluster.
func FromCluster(in *installation.Installation, namespaces []string) Source {
	return cluster{in, namespaces}
}

// read implements Source.
func (c cluster) read(ctx context.Context) (scanned, error) {
	read := scanned{}
	namespaces := c.namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	} else {
		read.note("only these namespaces were read, so Ingresses of others with the same hosts are not known")
	}
	for _, namespace := range namespaces {
		if err := c.ingresses(ctx, namespace, &read); err != nil {
			return read, err
		}
	}
	if err := c.classes(ctx, &read); err != nil {
		return read, err
	}
	read.objects.Services = map[types.NamespacedName]*corev1.Service{}
	for _, namespace := range namespaces {
		if err := c.services(ctx, namespace, &read); err != nil {
			return read, err
		}
	}
	return read, c.config(ctx, &read)
}

func (s *scanned) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// noteMissing makes a note of a missing right; without it the scan knows less, and says
// what. Any other error stays one.
func (s *scanned) noteMissing(err error, so string) error {
	if !errors.As(err, new(installation.MissingRightError)) {
		return err
	}
	s.note("%s: %v", so, err)
	return nil
}

// each lists in pages. When the API server no longer has the state of the first page,
// the rest is one answer.
func each(ctx context.Context, right installation.Right, list pager.ListPageFunc, one func(runtime.Object) error) error {
	pages := pager.New(list)
	pages.PageSize = pageSize
	if err := pages.EachListItem(ctx, metav1.ListOptions{}, one); err != nil {
		return right.Explain(err)
	}
	return nil
}

func (c cluster) ingresses(ctx context.Context, namespace string, read *scanned) error {
	client := c.NetworkingV1().Ingresses(namespace)
	return each(ctx, installation.Right{Verb: "list", Resource: installation.Ingresses, Namespace: namespace},
		func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		func(object runtime.Object) error {
			ingress, ok := object.(*networkingv1.Ingress)
			if !ok {
				return fmt.Errorf("defect: a list of Ingresses has a %T", object)
			}
			kept := *ingress // and not the page that it is a part of
			scan.Trim(&kept)
			read.objects.Ingresses = append(read.objects.Ingresses, &kept)
			return nil
		})
}

func (c cluster) classes(ctx context.Context, read *scanned) error {
	client := c.NetworkingV1().IngressClasses()
	err := each(ctx, installation.Right{Verb: "list", Resource: "ingressclasses.networking.k8s.io"},
		func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		func(object runtime.Object) error {
			class, ok := object.(*networkingv1.IngressClass)
			if !ok {
				return fmt.Errorf("defect: a list of IngressClasses has a %T", object)
			}
			read.objects.Classes = append(read.objects.Classes, class)
			return nil
		})
	return read.noteMissing(err, "IngressClasses were not read, so the controllers of Ingresses are not known")
}

// services keeps the Services that Ingresses name.
func (c cluster) services(ctx context.Context, namespace string, read *scanned) error {
	named := scan.NamedServices(read.objects.Ingresses)
	client := c.CoreV1().Services(namespace)
	err := each(ctx, installation.Right{Verb: "list", Resource: installation.Services, Namespace: namespace},
		func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, options)
		},
		func(object runtime.Object) error {
			service, ok := object.(*corev1.Service)
			if !ok {
				return fmt.Errorf("defect: a list of Services has a %T", object)
			}
			if key := (types.NamespacedName{Namespace: service.Namespace, Name: service.Name}); named[key] {
				read.objects.Services[key] = scan.TrimService(service)
			}
			return nil
		})
	return read.noteMissing(err, "Services were not read, so the numbers of named ports are not known")
}

// config takes the migration config, or the last valid one, if the migration proxy is
// installed.
func (c cluster) config(ctx context.Context, read *scanned) error {
	table, err := c.Table(ctx)
	if errors.As(err, new(installation.MissingRightError)) {
		return read.noteMissing(err, "the migration config was not read, so all services are taken as new")
	}
	if errors.As(err, new(config.Problems)) {
		read.note("the migration config is not valid, so the last valid one counts ('migration-proxy validate' has the problems)")
	}
	if read.table = table; err != nil {
		read.table = c.LastValidTable(ctx)
	}
	return nil
}
