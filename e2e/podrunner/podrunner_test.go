package podrunner_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/migration-proxy/migration-proxy/e2e/podrunner"
)

func TestPodIsReachable(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	template.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "ADDRESS", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "URL", Value: "http://$(ADDRESS)/"},
	}
	pod := p.deploy(template)

	require.Equal(t, "healthy", p.mustGet(pod, "healthy"), "through the API server")
	require.Equal(t, "http://"+pod.Status.PodIP+"/", p.mustGet(pod, "env", "name", "URL"))
	require.Equal(t, pod.Name+"\n", p.mustGet(pod, "read", "path", "/etc/hostname"))
	for _, name := range []string{"server", "server." + p.namespace + ".svc", "server." + p.namespace + ".svc.cluster.local"} {
		require.Equal(t, "healthy", p.mustGet(pod, "get", "url", "http://"+name+":8080/healthy"), "through the Service")
	}
	require.Equal(t, "system:serviceaccount:"+p.namespace+":default", p.mustGet(pod, "account"))
}

func TestLogs(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	pod := p.deploy(server())
	log := func(options corev1.PodLogOptions) string {
		text, err := p.CoreV1().Pods(p.namespace).GetLogs(pod.Name, &options).DoRaw(t.Context())
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, "one\ntwo\nserves\n", log(corev1.PodLogOptions{}))
	require.Equal(t, "two\nserves\n", log(corev1.PodLogOptions{TailLines: new(int64(2))}))
}

func TestSecurityContextApplies(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	template.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
		RunAsUser: new(int64(1234)), RunAsNonRoot: new(true),
		ReadOnlyRootFilesystem: new(true), AllowPrivilegeEscalation: new(false),
	}
	pod := p.deploy(template) // it listens on port 80
	want := "1234"
	if hasOneUser(t) {
		want = "0" // the only user in the user namespace of a user who is not root
	}
	require.Equal(t, want, p.mustGet(pod, "user"))
	p.mustGet(pod, "write", "path", "/data/file")
	for _, path := range []string{"/file", "/tmp/file", "/run/file"} {
		_, err := p.get(pod, "write", "path", path)
		require.Error(t, err, path)
	}
}

func hasOneUser(t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile("/proc/self/uid_map")
	require.NoError(t, err)
	return strings.HasSuffix(strings.TrimSpace(string(text)), " 1")
}

func TestContainerWritesStayInTheContainer(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	pod := p.deploy(server())
	const path = "/etc/podrunner-was-here"
	p.mustGet(pod, "write", "path", path)
	require.Empty(t, p.mustGet(pod, "read", "path", path))
	require.NoFileExists(t, path)
}

func TestVolumesFollowTheirSources(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	maps := p.CoreV1().ConfigMaps(p.namespace)
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "config"}, Data: map[string]string{"key": "one", "gone": ""}}
	_, err := maps.Create(t.Context(), config, metav1.CreateOptions{})
	require.NoError(t, err)
	template := server()
	template.Spec.Volumes = append(template.Spec.Volumes, corev1.Volume{Name: "config", VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "config"}},
	}})
	template.Spec.Containers[0].VolumeMounts = append(template.Spec.Containers[0].VolumeMounts,
		corev1.VolumeMount{Name: "config", MountPath: "/etc/deep/config"})
	pod := p.deploy(template)
	require.Equal(t, "one", p.mustGet(pod, "read", "path", "/etc/deep/config/key"))

	config.Data = map[string]string{"key": "two"}
	_, err = maps.Update(t.Context(), config, metav1.UpdateOptions{})
	require.NoError(t, err)
	p.eventually(func(c *assert.CollectT) {
		text, err := p.get(pod, "read", "path", "/etc/deep/config/key")
		require.NoError(c, err)
		require.Equal(c, "two", text)
	})
	_, err = p.get(pod, "read", "path", "/etc/deep/config/gone")
	require.Error(t, err)
}

func TestFailedReadinessProbeRemovesEndpoint(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	pod := p.deploy(server())
	p.mustGet(pod, "break")
	p.eventually(func(c *assert.CollectT) { require.Empty(c, p.ready(c)) })
	_, err := p.get(pod, "get", "url", "http://server:8080/healthy")
	require.Error(t, err, "no endpoint is ready")
	p.mustGet(pod, "repair")
	p.eventually(func(c *assert.CollectT) { require.Equal(c, []string{pod.Status.PodIP}, p.ready(c)) })
}

func TestCrashedContainerIsRestarted(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	pod := p.deploy(server())
	require.NoError(t, cluster.Signal(p.namespace, pod.Name, "server", syscall.SIGKILL))
	p.eventually(func(c *assert.CollectT) {
		now, err := p.CoreV1().Pods(p.namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		require.NoError(c, err)
		require.EqualValues(c, 1, now.Status.ContainerStatuses[0].RestartCount)
		require.EqualValues(c, 128+9, now.Status.ContainerStatuses[0].LastTerminationState.Terminated.ExitCode)
		require.True(c, now.Status.ContainerStatuses[0].Ready)
	})
}

// Pods go on without the API server, and their status is published when it is back.
// Not parallel: the other tests need the API server.
func TestPodsSurviveAPIServerOutage(t *testing.T) {
	p := newTestNamespace(t)
	pod := p.deploy(server())
	require.NoError(t, cluster.StopAPIServer())
	healthy := "http://" + pod.Status.PodIP + "/healthy"
	answer, err := http.Get(healthy)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.NoError(t, cluster.Signal(p.namespace, pod.Name, "server", syscall.SIGKILL))
	require.NoError(t, cluster.StartAPIServer(t.Context()))
	p.eventually(func(c *assert.CollectT) {
		now, err := p.CoreV1().Pods(p.namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		require.NoError(c, err)
		require.EqualValues(c, 1, now.Status.ContainerStatuses[0].RestartCount)
		require.Equal(c, []string{pod.Status.PodIP}, p.ready(c))
	})
}

func TestFailedLivenessProbeRestartsTheContainer(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	container := &template.Spec.Containers[0]
	container.LivenessProbe = container.ReadinessProbe
	container.ReadinessProbe = &corev1.Probe{
		PeriodSeconds: 1, FailureThreshold: 1,
		ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(80)}},
	}
	pod := p.deploy(template)
	p.mustGet(pod, "break")
	p.eventually(func(c *assert.CollectT) {
		now, err := p.CoreV1().Pods(p.namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		require.NoError(c, err)
		require.Positive(c, now.Status.ContainerStatuses[0].RestartCount)
	})
}

func TestJobsEnd(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		status string
		want   batchv1.JobConditionType
	}{
		"complete": {"0", batchv1.JobComplete},
		"failed":   {"3", batchv1.JobFailed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newTestNamespace(t)
			template := server()
			template.Spec.RestartPolicy = corev1.RestartPolicyNever
			template.Spec.Containers[0].Args = []string{serveArgument, "exit", c.status}
			_, err := p.BatchV1().Jobs(p.namespace).Create(t.Context(), &batchv1.Job{
				ObjectMeta: metav1.ObjectMeta{Name: "job"},
				Spec:       batchv1.JobSpec{Template: template, BackoffLimit: new(int32(0))},
			}, metav1.CreateOptions{})
			require.NoError(t, err)
			p.eventually(func(collect *assert.CollectT) {
				job, err := p.BatchV1().Jobs(p.namespace).Get(t.Context(), "job", metav1.GetOptions{})
				require.NoError(collect, err)
				var have []batchv1.JobConditionType
				for _, condition := range job.Status.Conditions {
					have = append(have, condition.Type)
				}
				require.Contains(collect, have, c.want)
			})
		})
	}
}

func TestInitContainersComeFirst(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	first := template.Spec.Containers[0]
	first.Name, first.ReadinessProbe, first.Args = "first", nil, []string{serveArgument, "touch", "/data/first"}
	template.Spec.InitContainers = []corev1.Container{first}
	pod := p.deploy(template)
	require.Empty(t, p.mustGet(pod, "read", "path", "/data/first"))
}

// A deleted Pod is terminating, its preStop hook comes before, and nothing of
// it stays.
func TestDeletionLeavesNothing(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
		Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "echo hook of $$ >/proc/1/fd/1"}},
	}}
	pod := p.deploy(template)
	before := interfaces(t)
	require.NoError(t, p.AppsV1().Deployments(p.namespace).Delete(t.Context(), "server", metav1.DeleteOptions{}))
	p.eventually(func(c *assert.CollectT) {
		pods, err := p.CoreV1().Pods(p.namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(c, err)
		require.Empty(c, pods.Items)
	})
	text, err := os.ReadFile(filepath.Join(cluster.Logs(), p.namespace+"_"+pod.Name+"_server.log"))
	require.NoError(t, err)
	require.Regexp(t, `hook of \d+\nterminating\n`, string(text))
	_, err = os.Stat(filepath.Join(filepath.Dir(cluster.Logs()), "pods", string(pod.UID)))
	require.ErrorIs(t, err, os.ErrNotExist)
	p.eventually(func(c *assert.CollectT) { require.NotContains(c, interfaces(t), interfaceOf(t, pod, before)) })
}

// A hook that does not end is killed after the grace period.
func TestHangingPreStopHookIsKilled(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	template.Spec.TerminationGracePeriodSeconds = new(int64(1))
	template.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{
		Exec: &corev1.ExecAction{Command: []string{"sleep", "1000"}},
	}}
	p.deploy(template)
	require.NoError(t, p.AppsV1().Deployments(p.namespace).Delete(t.Context(), "server", metav1.DeleteOptions{}))
	p.eventually(func(c *assert.CollectT) {
		pods, err := p.CoreV1().Pods(p.namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(c, err)
		require.Empty(c, pods.Items)
	})
}

// A probe that times out is a failure, and its processes are killed: the second probe
// can take the lock of the first.
func TestHangingProbeFails(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	template := server()
	template.Spec.Containers[0].LivenessProbe = &corev1.Probe{
		PeriodSeconds: 1, TimeoutSeconds: 1, FailureThreshold: 2, InitialDelaySeconds: 2,
		ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{
			Command: []string{"sh", "-c", "flock --nonblock /data/lock sh -c 'echo asks >>/proc/1/fd/1; sleep 1000'"},
		}},
	}
	pod := p.deploy(template)
	p.eventually(func(c *assert.CollectT) {
		now, err := p.CoreV1().Pods(p.namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		require.NoError(c, err)
		require.Positive(c, now.Status.ContainerStatuses[0].RestartCount)
	})
	text, err := os.ReadFile(filepath.Join(cluster.Logs(), p.namespace+"_"+pod.Name+"_server.log"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, strings.Count(string(text), "asks"), 2, "%s", text)
}

// A Service port can be renamed while it is in use.
func TestRenamedServicePortIsReachable(t *testing.T) {
	t.Parallel()
	p := newTestNamespace(t)
	pod := p.deploy(server())
	rename := []byte(`[{"op": "add", "path": "/spec/ports/0/name", "value": "renamed"}]`)
	_, err := p.CoreV1().Services(p.namespace).Patch(t.Context(), "server", types.JSONPatchType, rename, metav1.PatchOptions{})
	require.NoError(t, err)
	p.eventually(func(c *assert.CollectT) {
		slices, err := p.DiscoveryV1().EndpointSlices(p.namespace).List(t.Context(), metav1.ListOptions{})
		require.NoError(c, err)
		require.Len(c, slices.Items, 1)
		require.Equal(c, "renamed", *slices.Items[0].Ports[0].Name)
		_, err = p.get(pod, "get", "url", "http://server:8080/healthy")
		require.NoError(c, err)
	})
}

// Start ends with its context when there is no API server.
func TestStartEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := podrunner.Start(ctx, podrunner.Options{
		Config: &rest.Config{Host: "https://127.0.0.8:1"}, Node: "nonRootUser", Dir: t.TempDir(),
		Network: netip.MustParsePrefix("127.0.0.8/8"), Services: netip.MustParsePrefix("10.97.0.0/16"),
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func interfaces(t *testing.T) (names []string) {
	t.Helper()
	all, err := net.Interfaces()
	require.NoError(t, err)
	for _, one := range all {
		names = append(names, one.Name)
	}
	return names
}

// interfaceOf gives the name of the host end of the Pod's veth pair.
func interfaceOf(t *testing.T, pod corev1.Pod, before []string) string {
	t.Helper()
	octets := net.ParseIP(pod.Status.PodIP).To4()
	name := "pod" + decimal(octets[2]) + "-" + decimal(octets[3])
	require.Contains(t, before, name)
	return name
}

func decimal(octet byte) string { return strconv.Itoa(int(octet)) }
