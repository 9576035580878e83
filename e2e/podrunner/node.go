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

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// register creates the Node with condition Ready. It sends no heartbeats, because the
// control plane runs without the node lifecycle controller.
func (k *Kubelet) register(ctx context.Context) error {
	nodes := k.client.CoreV1().Nodes()
	_, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   k.options.Node,
		Labels: map[string]string{corev1.LabelHostname: k.options.Node, corev1.LabelOSStable: "linux"},
	}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	capacity := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("64Gi"),
		corev1.ResourcePods: resource.MustParse("1000"),
	}
	// A patch does not conflict with controllers that change the new Node.
	status, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{
		Capacity: capacity, Allocatable: capacity,
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: k.options.Network.Addr().String()}},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Registered",
			LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now(),
		}},
	}})
	if err != nil {
		return err
	}
	_, err = nodes.Patch(ctx, k.options.Node, types.MergePatchType, status, metav1.PatchOptions{}, "status")
	return err
}

// bind binds an unscheduled Pod to this Node.
func (k *Kubelet) bind(ctx context.Context, pod *corev1.Pod) {
	binding := &corev1.Binding{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		Target:     corev1.ObjectReference{Kind: "Node", Name: k.options.Node},
	}
	retry(ctx, func() error {
		err := k.client.CoreV1().Pods(pod.Namespace).Bind(ctx, binding, metav1.CreateOptions{})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // already bound, or deleted
		}
		return err
	})
}

// remove deletes the object of a Pod that has terminated.
func (k *Kubelet) remove(ctx context.Context, pod *corev1.Pod) {
	now := metav1.DeleteOptions{GracePeriodSeconds: new(int64), Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	retry(ctx, func() error {
		err := k.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, now)
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
}

// retry calls try until it succeeds or the context ends, because the API server may be
// unavailable.
func retry(ctx context.Context, try func() error) {
	const interval = 200 * time.Millisecond
	for ctx.Err() == nil && try() != nil {
		pause.For(ctx, interval)
	}
}
