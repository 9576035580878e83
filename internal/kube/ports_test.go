package kube

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestServicePorts(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 81}}},
	})
	numbers, err := ServicePorts(t.Context(), client.CoreV1(), "shop", "web")
	require.NoError(t, err)
	require.Equal(t, map[string]int32{"http": 80, "admin": 81}, numbers)

	numbers, err = ServicePorts(t.Context(), client.CoreV1(), "blog", "web")
	require.NoError(t, err, "a Service that does not exist has no ports")
	require.Empty(t, numbers)

	client.PrependReactor("get", "services", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	_, err = ServicePorts(t.Context(), client.CoreV1(), "shop", "web")
	require.EqualError(t, err, "get Service shop/web: connection refused")
}
