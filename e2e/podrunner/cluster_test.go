package podrunner_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
)

// testNamespace is the namespace of a test, with the clients of its cluster.
type testNamespace struct {
	*testing.T
	kubernetes.Interface
	namespace string
}

func newTestNamespace(t *testing.T) *testNamespace {
	t.Helper()
	client, err := kubernetes.NewForConfig(cluster.Config())
	require.NoError(t, err)
	namespace, err := cluster.Namespace(t.Context(), "podrunner")
	require.NoError(t, err)
	p := &testNamespace{T: t, Interface: client, namespace: namespace}
	t.Cleanup(p.logOutput)
	return p
}

// logOutput logs the container logs of a failed test.
func (p *testNamespace) logOutput() {
	if !p.Failed() {
		return
	}
	logs, err := filepath.Glob(filepath.Join(cluster.Logs(), p.namespace+"_*"))
	require.NoError(p, err)
	for _, path := range logs {
		text, err := os.ReadFile(path)
		require.NoError(p, err)
		p.Logf("%s:\n%s", filepath.Base(path), text)
	}
}

// eventually repeats the check for up to 30 seconds.
func (p *testNamespace) eventually(check func(c *assert.CollectT)) {
	p.Helper()
	require.EventuallyWithT(p, check, time.Minute, 100*time.Millisecond)
}

// server is the template of a Pod that serves on port 80.
func server() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "server"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(5)),
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
			Containers: []corev1.Container{{
				Name: "server", Image: image + ":v1", Args: []string{serveArgument},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data"}},
				Ports:        []corev1.ContainerPort{{Name: "web", ContainerPort: 80}},
				ReadinessProbe: &corev1.Probe{
					PeriodSeconds: 1, FailureThreshold: 1,
					ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthy", Port: intstr.FromString("web")}},
				},
			}},
		},
	}
}

// deploy creates a Deployment and a Service (port 8080) named server, and gives the
// Pod when it is ready.
func (p *testNamespace) deploy(template corev1.PodTemplateSpec) corev1.Pod {
	p.Helper()
	selector := map[string]string{"app": "server"}
	_, err := p.CoreV1().Services(p.namespace).Create(p.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "server"},
		Spec: corev1.ServiceSpec{
			Selector: selector, Ports: []corev1.ServicePort{{Port: 8080, TargetPort: intstr.FromString("web")}},
		},
	}, metav1.CreateOptions{})
	require.NoError(p, err)
	_, err = p.AppsV1().Deployments(p.namespace).Create(p.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "server"},
		Spec:       appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: selector}, Template: template},
	}, metav1.CreateOptions{})
	require.NoError(p, err)
	p.eventually(func(c *assert.CollectT) {
		deployment, err := p.AppsV1().Deployments(p.namespace).Get(p.Context(), "server", metav1.GetOptions{})
		require.NoError(c, err)
		require.EqualValues(c, 1, deployment.Status.AvailableReplicas)
		require.Len(c, p.ready(c), 1)
	})
	pods, err := p.CoreV1().Pods(p.namespace).List(p.Context(), metav1.ListOptions{})
	require.NoError(p, err)
	require.Len(p, pods.Items, 1)
	return pods.Items[0]
}

// ready gives the ready addresses of Service server.
func (p *testNamespace) ready(c require.TestingT) (addresses []string) {
	slices, err := p.DiscoveryV1().EndpointSlices(p.namespace).List(p.Context(), metav1.ListOptions{
		LabelSelector: discoveryv1.LabelServiceName + "=server",
	})
	require.NoError(c, err)
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if *endpoint.Conditions.Ready {
				addresses = append(addresses, endpoint.Addresses...)
			}
		}
	}
	return addresses
}

// get sends a request to a Pod through the API server. A parameter is a name and a
// value.
func (p *testNamespace) get(pod corev1.Pod, path string, parameter ...string) (string, error) {
	request := p.CoreV1().RESTClient().Get().Namespace(p.namespace).
		Resource("pods").Name(pod.Name + ":80").SubResource("proxy").Suffix(path)
	if len(parameter) == 2 {
		request.Param(parameter[0], parameter[1])
	}
	text, err := request.DoRaw(p.Context())
	return string(text), err
}

func (p *testNamespace) mustGet(pod corev1.Pod, path string, parameter ...string) string {
	p.Helper()
	text, err := p.get(pod, path, parameter...)
	require.NoError(p, err, text)
	return text
}
