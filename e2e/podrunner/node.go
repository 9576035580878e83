package podrunner

import (
	"context"
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// register creates the Node and says that it is ready. Nobody checks on it
// later: the control plane runs without the node lifecycle controller.
func (r *Runner) register(ctx context.Context) error {
	nodes := r.client.CoreV1().Nodes()
	_, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   r.options.Node,
		Labels: map[string]string{corev1.LabelHostname: r.options.Node, corev1.LabelOSStable: "linux"},
	}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("64Gi"),
		corev1.ResourcePods: resource.MustParse("1000"),
	}
	// A patch, because controllers change a new Node at the same time.
	status, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: r.options.Network.Addr().String()}},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Registered",
			LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
		}},
	}})
	if err != nil {
		return err
	}
	_, err = nodes.Patch(ctx, r.options.Node, types.MergePatchType, status, metav1.PatchOptions{}, "status")
	return err
}

// bind gives an unscheduled Pod to our node.
func (r *Runner) bind(ctx context.Context, pod *corev1.Pod) {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: r.options.Node},
	}
	insist(ctx, func() error {
		err := r.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // bound meanwhile, or gone
		}
		return err
	})
}

// remove deletes a Pod that has ended from the API.
func (r *Runner) remove(ctx context.Context, pod *corev1.Pod) {
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	insist(ctx, func() error {
		err := r.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// insist tries until it works or the context ends: the API server may be away
// for a while.
func insist(ctx context.Context, try func() error) {
	const pause = 200 * time.Millisecond
	for ctx.Err() == nil && try() != nil {
		wait(ctx, pause)
	}
}

// wait waits that long, or shorter when the context ends.
func wait(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
