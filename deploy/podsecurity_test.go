package deploy

import (
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// podSpecs are the pods of all rendered workloads, by name.
func podSpecs(objects []client.Object) map[string]corev1.PodSpec {
	specs := map[string]corev1.PodSpec{}
	for _, deployment := range all[*appsv1.Deployment](objects) {
		specs[deployment.Name] = deployment.Spec.Template.Spec
	}
	for _, job := range all[*batchv1.Job](objects) {
		specs[job.Name] = job.Spec.Template.Spec
	}
	for _, pod := range all[*corev1.Pod](objects) {
		specs[pod.Name] = pod.Spec
	}
	return specs
}

// TestPodSecurity: the pods meet Pod Security level "restricted", and some stricter
// rules.
func TestPodSecurity(t *testing.T) {
	t.Parallel()
	specs := podSpecs(render(t))
	require.Len(t, specs, 4, "proxy, webhook, restore, test")
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRestricted(t, spec)
			require.Equal(t, new(int64(65532)), spec.SecurityContext.RunAsUser)
			require.Equal(t, new(true), spec.AutomountServiceAccountToken, "all talk to the API server")
			require.NotEqual(t, "default", spec.ServiceAccountName)
			require.NotEmpty(t, spec.ServiceAccountName)
			for _, container := range spec.Containers {
				require.Equal(t, new(true), container.SecurityContext.ReadOnlyRootFilesystem)
				require.NotEmpty(t, container.Resources.Requests.Cpu())
				require.NotEmpty(t, container.Resources.Limits.Memory())
			}
		})
	}
}

// requireRestricted checks the level "restricted".
func requireRestricted(t *testing.T, spec corev1.PodSpec) {
	t.Helper()
	require.False(t, spec.HostNetwork || spec.HostPID || spec.HostIPC)
	require.Equal(t, new(true), spec.SecurityContext.RunAsNonRoot)
	require.NotZero(t, *spec.SecurityContext.RunAsUser)
	require.Equal(t, corev1.SeccompProfileTypeRuntimeDefault, spec.SecurityContext.SeccompProfile.Type)
	require.Empty(t, spec.SecurityContext.Sysctls)
	require.Empty(t, spec.InitContainers)
	for _, volume := range spec.Volumes {
		allowed := volume.EmptyDir != nil || volume.Secret != nil || volume.ConfigMap != nil || volume.Projected != nil
		require.True(t, allowed, "volume %s", volume.Name)
	}
	for _, container := range spec.Containers {
		context := container.SecurityContext
		require.Equal(t, new(false), context.AllowPrivilegeEscalation)
		require.Equal(t, []corev1.Capability{"ALL"}, context.Capabilities.Drop)
		require.Empty(t, context.Capabilities.Add)
		require.Nil(t, context.Privileged)
		require.Nil(t, context.RunAsUser)
		require.Nil(t, context.SeccompProfile)
		for _, port := range container.Ports {
			require.Zero(t, port.HostPort)
		}
	}
}

// TestShutdownTime: a proxy serves until no client opens connections to it, and has
// time for its last requests after that.
func TestShutdownTime(t *testing.T) {
	t.Parallel()
	proxy := podSpecs(render(t))["migration-proxy"]
	linger := proxy.Containers[0].Lifecycle.PreStop.Sleep.Seconds
	require.GreaterOrEqual(t, linger, int64(5))
	require.GreaterOrEqual(t, *proxy.TerminationGracePeriodSeconds-linger, int64(30))
}
