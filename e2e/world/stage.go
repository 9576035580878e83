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

// runLabel is on all namespaces that a run makes, for who must clean up after
// one that was killed.
const runLabel = "migration-proxy-e2e/run"

// namespaceLabels also say what is asked of the Pods.
var namespaceLabels = map[string]string{runLabel: "", "pod-security.kubernetes.io/enforce": "restricted"}

// claim makes a namespace whose name is not ours to choose, and notes how to
// leave it. One that exists is refused: it may be an installation in use.
func (c *Cluster) claim(ctx context.Context, name string, leave func(context.Context) error) error {
	err := c.createNamespace(ctx, name)
	if apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("namespace %s exists: the scenarios need a cluster without migration-proxy and without another run; "+
			"what a killed run left goes with `helm uninstall %s -n %s` and `kubectl delete namespace -l %s`",
			name, release, Namespace, runLabel)
	}
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	c.leaves = append(c.leaves, leave)
	return c.awaitServiceAccount(ctx, name)
}

func (c *Cluster) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: namespaceLabels}}
	_, err := c.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{})
	return err
}

// awaitServiceAccount waits for what no Pod can be created without.
func (c *Cluster) awaitServiceAccount(ctx context.Context, name string) error {
	return poll(ctx, "service account of namespace "+name, func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts(name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// poll is Await for what happens before there is a scenario.
func poll(ctx context.Context, what string, try func(ctx context.Context) error) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pause, 2*Patience, true, func(ctx context.Context) (bool, error) {
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

// setStage brings the ingress controller and the clients.
func (c *Cluster) setStage(ctx context.Context) error {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: stageNamespace, Name: controllerName}}
	_, err := c.Client.CoreV1().ServiceAccounts(stageNamespace).Create(ctx, account, metav1.CreateOptions{})
	_, roleErr := c.Client.RbacV1().ClusterRoles().Create(ctx, controllerRole(), metav1.CreateOptions{})
	_, bindErr := c.Client.RbacV1().ClusterRoleBindings().Create(ctx, controllerBinding(), metav1.CreateOptions{})
	if err := errors.Join(err, roleErr, bindErr); err != nil {
		return err
	}
	target := fmt.Sprintf("%s.%s.svc.cluster.local:%d", controllerName, stageNamespace, wire.TrafficPort)
	err = errors.Join(
		c.appear(ctx, actor{
			namespace: stageNamespace, name: controllerName, port: wire.TrafficPort,
			args: []string{"controller", "--class", IngressClass}, account: controllerName,
		}),
		c.appear(ctx, actor{namespace: stageNamespace, name: trafficName, args: []string{"traffic", "--target", target}}),
	)
	if err != nil {
		return err
	}
	return poll(ctx, "controller and traffic", func(ctx context.Context) error {
		return errors.Join(c.ready(ctx, stageNamespace, controllerName), c.ready(ctx, stageNamespace, trafficName))
	})
}

// clearStage removes what setStage made.
func (c *Cluster) clearStage(ctx context.Context) error {
	roleErr := c.Client.RbacV1().ClusterRoles().Delete(ctx, stageNamespace, metav1.DeleteOptions{})
	bindErr := c.Client.RbacV1().ClusterRoleBindings().Delete(ctx, stageNamespace, metav1.DeleteOptions{})
	return errors.Join(notFoundIsFine(roleErr, bindErr), c.removeNamespace(ctx, stageNamespace))
}

// removeNamespace also waits until it is gone, so that the next run can begin.
func (c *Cluster) removeNamespace(ctx context.Context, name string) error {
	namespaces := c.Client.CoreV1().Namespaces()
	if err := notFoundIsFine(namespaces.Delete(ctx, name, metav1.DeleteOptions{})); err != nil {
		return err
	}
	return poll(ctx, "end of namespace "+name, func(ctx context.Context) error {
		_, err := namespaces.Get(ctx, name, metav1.GetOptions{})
		return Gone(err)
	})
}

// Gone gives nil for the answer that there is no such object.
func Gone(err error) error {
	if err == nil {
		return errors.New("it is still there")
	}
	return notFoundIsFine(err)
}

func notFoundIsFine(errs ...error) error {
	var left []error
	for _, err := range errs {
		if !apierrors.IsNotFound(err) {
			left = append(left, err)
		}
	}
	return errors.Join(left...)
}
