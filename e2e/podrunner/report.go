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

// report is a Pod's status as it is here; publish tells the API server.
type report struct {
	pod     *corev1.Pod
	changed chan struct{} // holds one token when the API server knows less

	mu     sync.Mutex
	status corev1.PodStatus
}

func newReport(pod *corev1.Pod) *report {
	now := metav1.Now()
	r := &report{pod: pod, changed: make(chan struct{}, 1), status: corev1.PodStatus{StartTime: &now}}
	for i := range pod.Spec.InitContainers {
		r.status.InitContainerStatuses = append(r.status.InitContainerStatuses, fresh(&pod.Spec.InitContainers[i], "PodInitializing"))
	}
	for i := range pod.Spec.Containers {
		r.status.ContainerStatuses = append(r.status.ContainerStatuses, fresh(&pod.Spec.Containers[i], "ContainerCreating"))
	}
	return r
}

func fresh(c *corev1.Container, reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name: c.Name, Image: c.Image, ImageID: "process://" + c.Image, Started: new(false),
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
	}
}

// change changes the status and has it published.
func (r *report) change(change func(s *corev1.PodStatus)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.status)
	settle(&r.pod.Spec, &r.status, metav1.Now())
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// container changes the status of one container.
func (r *report) container(name string, change func(s *corev1.ContainerStatus)) {
	r.change(func(s *corev1.PodStatus) {
		for _, list := range [][]corev1.ContainerStatus{s.InitContainerStatuses, s.ContainerStatuses} {
			for i := range list {
				if list[i].Name == name {
					change(&list[i])
				}
			}
		}
	})
}

func (r *report) addressed(pod, host netip.Addr) {
	r.change(func(s *corev1.PodStatus) {
		s.HostIP, s.HostIPs = host.String(), []corev1.HostIP{{IP: host.String()}}
		s.PodIP, s.PodIPs = pod.String(), []corev1.PodIP{{IP: pod.String()}}
	})
}

// waiting says what keeps the whole Pod from beginning.
func (r *report) waiting(reason, message string) {
	r.change(func(s *corev1.PodStatus) {
		for i := range s.ContainerStatuses {
			s.ContainerStatuses[i].State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: message}
		}
	})
}

func (r *report) runs(container string) {
	r.container(container, func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	})
}

func (r *report) startedUp(container string) {
	r.container(container, func(s *corev1.ContainerStatus) { s.Started = new(true) })
}

func (r *report) ready(container string, ready bool) {
	r.container(container, func(s *corev1.ContainerStatus) { s.Ready = ready })
}

func (r *report) over(container string, code int) {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	r.container(container, func(s *corev1.ContainerStatus) {
		ended := &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: reason, FinishedAt: metav1.Now()}
		if s.State.Running != nil {
			ended.StartedAt = s.State.Running.StartedAt
		}
		s.State, s.Ready, s.Started = corev1.ContainerState{Terminated: ended}, false, new(false)
	})
}

// waitsAfterEnd counts the restart that is to come.
func (r *report) waitsAfterEnd(container string) {
	r.container(container, func(s *corev1.ContainerStatus) {
		s.LastTerminationState = s.State
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
		s.RestartCount++
	})
}

func (r *report) cannotStart(container string, err error) {
	r.container(container, func(s *corev1.ContainerStatus) {
		s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CreateContainerError", Message: err.Error()}}
	})
}

// publish sends each change, the newest if several came meanwhile, until the
// context ends or the Pod is gone.
func (r *report) publish(ctx context.Context, runner *Runner) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.changed:
		}
		var gone bool
		insist(ctx, func() error {
			_, err := runner.client.CoreV1().Pods(r.pod.Namespace).
				Patch(ctx, r.pod.Name, types.MergePatchType, r.patch(), metav1.PatchOptions{}, "status")
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

// patch sets the status of this very Pod, not of a later one of its name.
func (r *report) patch() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	text, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": r.pod.UID}, "status": r.status})
	if err != nil {
		panic(err) // Kubernetes' own types always marshal
	}
	return text
}

// settle derives phase and conditions from the containers.
func settle(spec *corev1.PodSpec, s *corev1.PodStatus, now metav1.Time) {
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

// condition keeps the time of the last change.
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

// phase is Pending until all containers have been started once, and over only
// when none will be started again.
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
