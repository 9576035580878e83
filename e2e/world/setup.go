package world

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// runLabel is on all namespaces of a run, so that users can find and delete what a
// killed run left.
const runLabel = "migration-proxy-e2e/run"

// namespaceLabels are the labels of all namespaces; they also set the Pod Security
// level.
var namespaceLabels = map[string]string{runLabel: "", "pod-security.kubernetes.io/enforce": "restricted"}

// createOwnNamespace creates a namespace with a fixed name and registers its cleanup.
// It refuses one that exists, because that may be an installation in use.
func (c *Cluster) createOwnNamespace(ctx context.Context, name string, cleanup func(context.Context) error) error {
	err := c.createNamespace(ctx, name)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s exists: the scenarios need a cluster without migration-proxy and without another run; "+
			"remove what a killed run left with `helm uninstall %s -n %s` and `kubectl delete namespace -l %s`",
			name, release, Namespace, runLabel)
	}
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	c.cleanups = append(c.cleanups, cleanup)
	return c.waitForServiceAccount(ctx, name)
}

func (c *Cluster) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: namespaceLabels}}
	_, err := c.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	return err
}

// waitForServiceAccount waits for the default service account, without which no Pod
// can be created.
func (c *Cluster) waitForServiceAccount(ctx context.Context, name string) error {
	return poll(ctx, "service account of namespace "+name, func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// poll is Eventually for the time before a scenario runs.
func poll(ctx context.Context, what string, try func(ctx context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pause, 2*Timeout, true, func(ctx context.Context) (bool, error) {
		err := try(ctx)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w: %w", what, err, last)
	}
	return nil
}

// startActors starts the ingress controller and the clients.
func (c *Cluster) startActors(ctx context.Context) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: actorNamespace, Name: controllerName}}
	_, err := c.Client.CoreV1().ServiceAccounts(actorNamespace).Create(ctx, account, metav1.CreateOptions{})
	_, roleErr := c.Client.RbacV1().ClusterRoles().Create(ctx, controllerRole(), metav1.CreateOptions{})
	_, bindErr := c.Client.RbacV1().ClusterRoleBindings().Create(ctx, controllerBinding(), metav1.CreateOptions{})
	if err := errors.Join(err, roleErr, bindErr, c.createClasses(ctx)); err != nil {
		return err
	}
	target := controllerAddress(ClassOf(wire.Plain))
	err = errors.Join(
		c.createActor(ctx, actor{
			namespace: actorNamespace, name: controllerName, port: wire.TrafficPort,
			args: []string{"controller"}, account: controllerName,
		}),
		c.createActor(ctx, actor{namespace: actorNamespace, name: trafficName, args: []string{"traffic", "--target", target}}),
	)
	if err != nil {
		return err
	}
	return poll(ctx, "controller and traffic", func(ctx context.Context) error {
		return errors.Join(c.ready(ctx, actorNamespace, controllerName), c.ready(ctx, actorNamespace, trafficName))
	})
}

func (c *Cluster) createClasses(ctx context.Context) error {
	var errs []error
	for _, class := range wire.Classes {
		_, err := c.Client.NetworkingV1().IngressClasses().Create(ctx, ingressClass(class), metav1.CreateOptions{})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeActors removes what startActors created.
func (c *Cluster) removeActors(ctx context.Context) error {
	roleErr := c.Client.RbacV1().ClusterRoles().Delete(ctx, actorNamespace, metav1.DeleteOptions{})
	bindErr := c.Client.RbacV1().ClusterRoleBindings().Delete(ctx, actorNamespace, metav1.DeleteOptions{})
	errs := []error{roleErr, bindErr}
	for _, class := range wire.Classes {
		errs = append(errs, c.Client.NetworkingV1().IngressClasses().Delete(ctx, class.Name, metav1.DeleteOptions{}))
	}
	return errors.Join(ignoreNotFound(errs...), c.removeNamespace(ctx, actorNamespace))
}

// removeNamespace deletes a namespace and waits until it is gone, so that the next run
// can begin.
func (c *Cluster) removeNamespace(ctx context.Context, name string) error {
	namespaces := c.Client.CoreV1().Namespaces()
	if err := ignoreNotFound(namespaces.Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return err
	}
	return poll(ctx, "end of namespace "+name, func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		return Gone(err)
	})
}

// Gone gives nil for a NotFound error, and an error when the object still exists.
func Gone(err error) error {
	if err == nil {
		return errors.New("it still exists")
	}
	return ignoreNotFound(err)
}

func ignoreNotFound(errs ...error) error {
	var left []error
	for _, err := range errs {
		if !apierrors.IsNotFound(err) {
			left = append(left, err)
		}
	}
	return errors.Join(left...)
}
