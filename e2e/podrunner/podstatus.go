package podrunner

import (
	"context"
	"encoding/json"
	"net/netip"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// statusManager has the status of a Pod. publish sends it to the API server.
type statusManager struct {
	pod     *corev1.Pod
	changed chan struct{} // has an element when the status is not yet published

	mu     sync.Mutex
	status corev1.PodStatus
}

func newStatusManager(pod *corev1.Pod) *statusManager {
	now := metav1.Now()
	m := &statusManager{pod: pod, changed: make(chan struct{}, 1), status: corev1.PodStatus{StartTime: &now}}
	for i := range pod.Spec.InitContainers {
		m.status.InitContainerStatuses = append(m.status.InitContainerStatuses, fresh(&pod.Spec.InitContainers[i], "PodInitializing"))
	}
	for i := range pod.Spec.Containers {
		m.status.ContainerStatuses = append(m.status.ContainerStatuses, fresh(&pod.Spec.Containers[i], "ContainerCreating"))
	}
	return m
}

func fresh(c *corev1.Container, reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: "process://" + c.Image, Started: new(false),
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
	}
}

// change changes the status and triggers publish.
func (m *statusManager) change(change func(s *corev1.PodStatus)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.status)
	updatePhase(&m.pod.Spec, &m.status, metav1.Now())
	select {
	case m.changed <- struct{}{}:
	default:
	}
}

// container changes the status of one container.
func (m *statusManager) container(name string, change func(s *corev1.ContainerStatus)) {
	m.change(func(s *corev1.PodStatus) {
		for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
			for i := range list {
				if list[i].Name == name {
					change(&list[i])
				}
			}
		}
	})
}

func (m *statusManager) addressed(pod, host netip.Addr) {
	m.change(func(s *corev1.PodStatus) {
		s.HostIP, s.HostIPs = host.String(), []corev1.HostIP{{IP: host.String()}}
		s.PodIP, s.PodIPs = pod.String(), []corev1.PodIP{{IP: pod.String()}}
	})
}

// waiting sets the reason why the Pod's containers cannot start.
func (m *statusManager) waiting(reason, message string) {
	m.change(func(s *corev1.PodStatus) {
		for i := range s.ContainerStatuses {
			s.ContainerStatuses[i].State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
		}
	})
}

func (m *statusManager) runs(container string) {
	m.container(container, func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
}

func (m *statusManager) startedUp(container string) {
	m.container(container, func(s *corev1.ContainerStatus) { s.Started = new(true) })
}

func (m *statusManager) ready(container string, ready bool) {
	m.container(container, func(s *corev1.ContainerStatus) { s.Ready = ready })
}

func (m *statusManager) over(container string, code int) {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	m.container(container, func(s *corev1.ContainerStatus) {
		ended := &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: reason, FinishedAt: metav1.Now()}
		if s.State.Running != nil {
			ended.StartedAt = s.State.Running.StartedAt
		}
		s.State, s.Ready, s.Started = corev1.ContainerState{Terminated: ended}, false, new(false)
	})
}

// waitsAfterEnd counts a restart, whose pause begins.
func (m *statusManager) waitsAfterEnd(container string) {
	m.container(container, func(s *corev1.ContainerStatus) {
		s.LastTerminationState = s.State
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		s.RestartCount++
	})
}

func (m *statusManager) cannotStart(container string, err error) {
	m.container(container, func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: err.Error()}}
	})
}

// publish sends the newest status after each change, until the context ends or the
// Pod does not exist any more.
func (m *statusManager) publish(ctx context.Context, kubelet *Kubelet) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.changed:
		}
		var gone bool
		retry(ctx, func() error {
			_, err := kubelet.client.CoreV1().Pods(m.pod.Namespace).
				Patch(ctx, m.pod.Name, types.MergePatchType, m.patch(), metav1.PatchOptions{}, "status")
			gone = apierrors.IsNotFound(err) || apierrors.IsConflict(err)
			if gone {
				return nil
			}
			return err
		})
		if gone {
			return
		}
	}
}

// patch has the Pod's UID, so that it does not change a later Pod of the same name.
func (m *statusManager) patch() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": m.pod.UID}, "status": m.status})
	if err != nil {
		panic(err) // Kubernetes' types always marshal
	}
	return text
}

// updatePhase computes phase and conditions from the container states.
func updatePhase(spec *corev1.PodSpec, s *corev1.PodStatus, now metav1.Time) {
	s.Phase = phase(spec, s)
	initialized, ready := true, s.Phase == corev1.PodRunning
	for _, c := range s.InitContainerStatuses {
		initialized = initialized && c.State.Terminated != nil && c.State.Terminated.ExitCode == 0
	}
	for _, c := range s.ContainerStatuses {
		ready = ready && c.Ready
	}
	s.Conditions = []corev1.PodCondition{
		condition(s.Conditions, corev1.PodScheduled, true, now),
		condition(s.Conditions, corev1.PodInitialized, initialized, now),
		condition(s.Conditions, corev1.ContainersReady, ready, now),
		condition(s.Conditions, corev1.PodReady, ready, now),
	}
}

// condition gives the new condition. It keeps the old transition time if the status
// is the same.
func condition(before []corev1.PodCondition, kind corev1.PodConditionType, holds bool, now metav1.Time) corev1.PodCondition {
	c := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, LastTransitionTime: now}
	if holds {
		c.Status = corev1.ConditionTrue
	}
	for _, old := range before {
		if old.Type == kind && old.Status == c.Status {
			return old
		}
	}
	return c
}

// phase is Pending until each container has started once, and Succeeded or Failed
// only when no container will be restarted.
func phase(spec *corev1.PodSpec, s *corev1.PodStatus) corev1.PodPhase {
	never := spec.RestartPolicy == corev1.RestartPolicyNever
	for _, c := range s.InitContainerStatuses {
		switch {
		case c.State.Terminated == nil:
			return corev1.PodPending
		case c.State.Terminated.ExitCode != 0 && never:
			return corev1.PodFailed
		case c.State.Terminated.ExitCode != 0:
			return corev1.PodPending
		}
	}
	over, failed := 0, 0
	for _, c := range s.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.LastTerminationState.Terminated == nil:
			return corev1.PodPending
		case c.State.Terminated != nil && c.State.Terminated.ExitCode != 0:
			failed++
			over++
		case c.State.Terminated != nil:
			over++
		}
	}
	switch {
	case over < len(s.ContainerStatuses), spec.RestartPolicy == corev1.RestartPolicyAlways, failed > 0 && !never:
		return corev1.PodRunning
	case failed > 0:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}
