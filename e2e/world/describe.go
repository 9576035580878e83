package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// How many lines of each container log are shown, and how many Events of each
// namespace.
const (
	logTail   = 40
	eventTail = 15
)

// Describe shows what explains a failed scenario: the Ingresses, Events and logs of the
// App, of the installation and of the ingress controller.
func (s *App) Describe(ctx context.Context) string {
	return fmt.Sprintf("=== app %s\n%s%s%s%s%s", s.Service, s.Cluster.saveLogs(s.Service),
		s.Cluster.describeIngresses(ctx, s.Namespace), s.Cluster.Describe(ctx, s.Namespace, Namespace, actorNamespace),
		s.Cluster.describeMaps(ctx), s.Cluster.describeRoutes(ctx, s.Namespace))
}

// Describe shows the Pods, Events and logs of the namespaces.
func (c *Cluster) Describe(ctx context.Context, namespaces ...string) string {
	var text strings.Builder
	for _, namespace := range namespaces {
		c.describePods(ctx, &text, namespace)
		c.describeEvents(ctx, &text, namespace)
	}
	return text.String()
}

func (c *Cluster) describeIngresses(ctx context.Context, namespace string) string {
	list, err := c.Client.NetworkingV1().Ingresses(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	for _, ingress := range list.Items {
		ingress.ManagedFields = nil
		shown, _ := yaml.Marshal(ingress)
		fmt.Fprintf(&text, ">>> ingress %s/%s\n%s", namespace, ingress.Name, shown)
	}
	return text.String()
}

func (c *Cluster) describeMaps(ctx context.Context) string {
	var text strings.Builder
	for _, name := range []string{ConfigMap, StateMap} {
		object, err := c.Client.CoreV1().ConfigMaps(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			fmt.Fprintf(&text, ">>> configmap %s: %v\n", name, err)
			continue
		}
		for key, value := range object.Data {
			fmt.Fprintf(&text, ">>> configmap %s, %s\n%s\n", name, key, value)
		}
	}
	return text.String()
}

func (c *Cluster) describeRoutes(ctx context.Context, namespace string) string {
	raw, err := c.Client.CoreV1().RESTClient().Get().Namespace(actorNamespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", controllerName, wire.ControlPort)).SubResource("proxy").Suffix(wire.PathRoutes).DoRaw(ctx)
	if err != nil {
		return err.Error()
	}
	var text strings.Builder
	fmt.Fprintln(&text, ">>> routes of the ingress controller")
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, namespace) {
			text.WriteString(line)
		}
	}
	return text.String()
}

func (c *Cluster) describePods(ctx context.Context, text *strings.Builder, namespace string) {
	list, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(text, err)
		return
	}
	for i := range list.Items {
		pod := &list.Items[i]
		fmt.Fprintf(text, ">>> pod %s/%s %s ready=%t %s\n", namespace, pod.Name, pod.Status.Phase, podReady(pod), pod.Status.PodIP)
		for _, container := range pod.Spec.Containers {
			c.describeLog(ctx, text, pod, container.Name)
		}
	}
}

// describeLog leaves out the access log, which would be nearly everything.
func (c *Cluster) describeLog(ctx context.Context, text *strings.Builder, pod *corev1.Pod, container string) {
	raw, err := c.Client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
	if err != nil {
		fmt.Fprintf(text, "no log of %s: %v\n", container, err)
		return
	}
	lines := slices.DeleteFunc(strings.SplitAfter(string(raw), "\n"), func(line string) bool {
		return strings.Contains(line, "request_time=") || line == ""
	})
	text.WriteString(strings.Join(lines[max(0, len(lines)-logTail):], ""))
}

// saveLogs saves the container logs of a local cluster, which end with the program.
func (c *Cluster) saveLogs(app string) string {
	if c.local == nil {
		return ""
	}
	saved := filepath.Join(c.root, "bin", "e2e", "logs", app)
	err := errors.Join(os.RemoveAll(saved), os.CopyFS(saved, os.DirFS(c.local.Logs())))
	if err != nil {
		return fmt.Sprintf(">>> the logs are not saved: %v\n", err)
	}
	return fmt.Sprintf(">>> all logs are in %s\n", saved)
}

func (c *Cluster) describeEvents(ctx context.Context, text *strings.Builder, namespace string) {
	list, err := c.Client.CoreV1().Events(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		fmt.Fprintln(text, err)
		return
	}
	slices.SortFunc(list.Items, func(a, b corev1.Event) int { return lastSeen(a).Compare(lastSeen(b)) })
	for _, event := range list.Items[max(0, len(list.Items)-eventTail):] {
		fmt.Fprintf(text, ">>> event %s %s/%s %s x%d: %s\n", event.Type, event.InvolvedObject.Kind, event.InvolvedObject.Name,
			event.Reason, max(event.Count, 1), event.Message)
	}
}

func lastSeen(event corev1.Event) time.Time {
	if event.EventTime.IsZero() {
		return event.LastTimestamp.Time
	}
	return event.EventTime.Time
}
