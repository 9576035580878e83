package installation_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Resource: "configmaps"}
	rbac := apierrors.NewForbidden(resource, "x", errors.New(`User "alice" cannot get resource "configmaps"`))
	err := installation.Right{Verb: "get", Resource: installation.ConfigMaps, Namespace: "ns"}.Explain(rbac)
	require.ErrorAs(t, err, new(installation.MissingRightError))
	require.EqualError(t, err, "alice may not get configmaps in namespace ns; an administrator of the cluster grants it with\n"+
		"  kubectl create role migration-get-configmaps --namespace ns --verb=get --resource=configmaps\n"+
		"  kubectl create rolebinding migration-get-configmaps --namespace ns --role=migration-get-configmaps --user=alice")
	err = installation.Right{Verb: "list", Resource: installation.EndpointSlices}.Explain(rbac)
	require.ErrorContains(t, err, "kubectl create clusterrole migration-list-endpointslices-discovery-k8s-io --verb=list")

	admission := apierrors.NewForbidden(resource, "x", errors.New("not on a Friday"))
	err = installation.Right{Verb: "patch", Resource: installation.ConfigMaps, Namespace: "ns"}.Explain(admission)
	require.NotErrorAs(t, err, new(installation.MissingRightError), "admission refuses, not RBAC")
	require.True(t, apierrors.IsForbidden(err))
	require.ErrorContains(t, err, "patch configmaps in namespace ns: ")

	ending := apierrors.NewForbidden(resource, "x", errors.New("unable to create new content in namespace ns because it is being terminated"))
	ending.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	err = installation.Right{Verb: "create", Resource: installation.ConfigMaps, Namespace: "ns"}.Explain(ending)
	require.ErrorContains(t, err, "wait with 'kubectl wait --for=delete namespace/ns', then 'kubectl create namespace ns'")
}
