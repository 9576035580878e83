package kube

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// ServicePorts gives the numbers of a Service's ports by name. A Service that
// does not exist has no ports and is no error: an Ingress may be created before
// its Service. It needs the verb get on Services.
func ServicePorts(ctx context.Context, client typedcorev1.ServicesGetter, namespace, name string) (map[string]int32, error) {
	service, err := client.Services(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		service = &corev1.Service{}
	case err != nil:
		return nil, fmt.Errorf("get Service %s/%s: %w", namespace, name, err)
	}
	numbers := make(map[string]int32, len(service.Spec.Ports))
	for _, port := range service.Spec.Ports {
		numbers[port.Name] = port.Port
	}
	return numbers, nil
}
