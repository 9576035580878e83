package podrunner

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	waits  = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
	runs   = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	done   = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	failed = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1}}
)

func statuses(states []corev1.ContainerState) (all []corev1.ContainerStatus) {
	for _, state := range states {
		all = append(all, corev1.ContainerStatus{State: state, Ready: state.Running != nil})
	}
	return all
}

func TestPhaseAndReadiness(t *testing.T) {
	t.Parallel()
	type states = []corev1.ContainerState
	const always, onFailure, never = corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, corev1.RestartPolicyNever
	cases := []struct {
		name       string
		policy     corev1.RestartPolicy
		inits, all states
		want       corev1.PodPhase
		ready      bool
	}{
		{"not started", always, nil, states{waits}, corev1.PodPending, false},
		{"one of two started", always, nil, states{runs, waits}, corev1.PodPending, false},
		{"all run", always, nil, states{runs, runs}, corev1.PodRunning, true},
		{"one is down", always, nil, states{runs, failed}, corev1.PodRunning, false},
		{"ended, will be restarted", always, nil, states{done}, corev1.PodRunning, false},
		{"ended well", never, nil, states{done, done}, corev1.PodSucceeded, false},
		{"ended badly", never, nil, states{done, failed}, corev1.PodFailed, false},
		{"ended badly, will be repeated", onFailure, nil, states{failed}, corev1.PodRunning, false},
		{"ended well the second time", onFailure, nil, states{done}, corev1.PodSucceeded, false},
		{"init runs", always, states{runs}, states{waits}, corev1.PodPending, false},
		{"init failed, will be repeated", always, states{failed}, states{waits}, corev1.PodPending, false},
		{"init failed for good", never, states{failed}, states{waits}, corev1.PodFailed, false},
		{"init done", always, states{done}, states{runs}, corev1.PodRunning, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status := corev1.PodStatus{InitContainerStatuses: statuses(c.inits), ContainerStatuses: statuses(c.all)}
			updatePhase(&corev1.PodSpec{RestartPolicy: c.policy}, &status, metav1.Now())
			require.Equal(t, c.want, status.Phase)
			for _, condition := range status.Conditions {
				if condition.Type == corev1.PodReady {
					require.Equal(t, c.ready, condition.Status == corev1.ConditionTrue)
				}
			}
		})
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	env := &environment{values: map[string]string{"A": "1", "EMPTY": ""}}
	for text, want := range map[string]string{
		"plain": "plain", "$(A)": "1", "$$(A)": "$(A)", "$(B)": "$(B)", "$A": "$A", "$(A": "$(A",
		"x$(A)$(EMPTY)y$(A)": "x1y1", "$": "$", "$$": "$", "": "",
	} {
		require.Equal(t, want, env.expand(text), text)
	}
}

func TestImagesAreFoundWithAndWithoutTag(t *testing.T) {
	t.Parallel()
	o := Options{Images: map[string]string{"registry:5000/a": "/any", "b:v2": "/two"}}
	for image, want := range map[string]string{
		"registry:5000/a": "/any", "registry:5000/a:v1": "/any", "registry:5000/a:v1@sha256:00": "/any", "b:v2": "/two",
	} {
		path, err := o.binary(image)
		require.NoError(t, err, image)
		require.Equal(t, want, path, image)
	}
	_, err := o.binary("b:v3")
	require.ErrorContains(t, err, `"b:v3"`)
	require.ErrorContains(t, err, "b:v2, registry:5000/a")
}

func TestTail(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{"": "a\nb\nc", "0": "", "1": "c", "2": "b\nc", "9": "a\nb\nc"} {
		require.Equal(t, want, string(tail([]byte("a\nb\nc"), number)), number)
	}
	require.Equal(t, "b\n", string(tail([]byte("a\nb\n"), "1")))
}
