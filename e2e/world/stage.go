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

// restricted is what each namespace of ours asks of its Pods.
var restricted = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}

// createNamespace also waits for the default service account, without which
// no Pod can be created.
func (c *Cluster) createNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: restricted}}
	if _, err := c.Client.CoreV1().Namespaces().Create(ctx, namespace, metav1.CreateOptions{}); err != nil {
		return err
	}
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
	if err := c.createNamespace(ctx, stageNamespace); err != nil {
		return err
	}
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

// clearStage removes what setStage made, and waits until it is gone, so that
// the next run can begin.
func (c *Cluster) clearStage(ctx context.Context) error {
	roleErr := c.Client.RbacV1().ClusterRoles().Delete(ctx, stageNamespace, metav1.DeleteOptions{})
	bindErr := c.Client.RbacV1().ClusterRoleBindings().Delete(ctx, stageNamespace, metav1.DeleteOptions{})
	err := c.Client.CoreV1().Namespaces().Delete(ctx, stageNamespace, metav1.DeleteOptions{})
	if err := notFoundIsFine(roleErr, bindErr, err); err != nil {
		return err
	}
	return poll(ctx, "end of the stage", func(ctx context.Context) error {
		_, err := c.Client.CoreV1().Namespaces().Get(ctx, stageNamespace, metav1.GetOptions{})
		if err == nil {
			return errors.New("the namespace is still there")
		}
		return notFoundIsFine(err)
	})
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
