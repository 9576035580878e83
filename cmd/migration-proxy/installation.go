package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// installation is the migration proxy in one cluster, seen with the rights of
// whoever asks.
type installation struct {
	kubernetes.Interface
	config    *rest.Config // that the client was made of
	namespace string
	object    kube.NamedConfigMap // the migration config
}

// migrationConfig is the ConfigMap as it is now, and the text in it.
func (i *installation) migrationConfig(ctx context.Context) (*corev1.ConfigMap, []byte, error) {
	found, err := i.CoreV1().ConfigMaps(i.namespace).Get(ctx, i.object.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		found = nil
	case err != nil:
		return nil, nil, need{"get", "configmaps", i.namespace}.explain(err)
	}
	text, err := i.object.ConfigText(found)
	return found, text, err
}

// state is what the watcher says of all replicas together. Without a watcher
// there is none, which is no error.
func (i *installation) state(ctx context.Context) (status.Cluster, error) {
	found, err := i.CoreV1().ConfigMaps(i.namespace).Get(ctx, names.StateMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return status.Cluster{}, nil
	}
	if err != nil {
		return status.Cluster{}, need{"get", "configmaps", i.namespace}.explain(err)
	}
	state, err := status.ParseCluster(found.Data)
	if err != nil {
		return state, fmt.Errorf("ConfigMap %s/%s: %w", i.namespace, names.StateMap, err)
	}
	return state, nil
}

// replicas are those of the data plane, each with its own word.
func (i *installation) replicas(ctx context.Context) ([]kube.Replica, error) {
	list, err := i.DiscoveryV1().EndpointSlices(i.namespace).List(ctx, metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=" + names.ProxyService,
	})
	if err != nil {
		return nil, need{"list", sliceResource, i.namespace}.explain(err)
	}
	replicas := kube.FetchStatuses(ctx, kube.Endpoints(list.Items), kube.ThroughAPIServer(i, i.namespace))
	for n := range replicas {
		if apierrors.IsForbidden(replicas[n].Err) {
			return nil, need{"get", "pods/proxy", i.namespace}.explain(replicas[n].Err)
		}
	}
	return replicas, nil
}

// need is a right that a user's request to the API server takes.
type need struct {
	verb, resource string
	namespace      string // "" is all
}

// refusal is what RBAC says; admission, which is Forbidden as well, says
// something else.
var refusal = regexp.MustCompile(`User "([^"]+)" cannot `)

// explain says of a refused right who gets it how, and of any other error what
// was being done.
func (n need) explain(err error) error {
	found := refusal.FindStringSubmatch(err.Error())
	if found == nil || !apierrors.IsForbidden(err) {
		return fmt.Errorf("%s %s in %s: %w", n.verb, n.resource, n.where(), err)
	}
	user := found[1]
	kind, scope := "role", " --namespace "+n.namespace
	if n.namespace == "" {
		kind, scope = "clusterrole", ""
	}
	name := "migration-" + n.verb + "-" + strings.NewReplacer("/", "-", ".", "-").Replace(n.resource)
	return missingRight(fmt.Sprintf("%s may not %s %s in %s; an administrator of the cluster grants it with\n"+
		"  kubectl create %s %s%s --verb=%s --resource=%s\n"+
		"  kubectl create %sbinding %s%s --%s=%s --user=%s", user, n.verb, n.resource, n.where(),
		kind, name, scope, n.verb, n.resource, kind, name, scope, kind, name, user))
}

// missingRight is what RBAC refuses, and who grants it how: to ask again helps
// nobody.
type missingRight string

// Error implements error.
func (m missingRight) Error() string { return string(m) }

func (n need) where() string {
	if n.namespace == "" {
		return "all namespaces"
	}
	return "namespace " + n.namespace
}
