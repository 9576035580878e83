package world

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusPort is where every program of ours has its metrics and its status.
const statusPort = 8080

// get reads a path of a Pod of the installation through the API server.
func (c *Cluster) get(ctx context.Context, pod, path string) ([]byte, error) {
	text, err := c.Client.CoreV1().RESTClient().Get().Namespace(Namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, statusPort)).SubResource("proxy").Suffix(path).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s of pod %s: %w", path, pod, err)
	}
	return text, nil
}

// Metrics gives what Prometheus would read of a Pod of the installation.
func (c *Cluster) Metrics(ctx context.Context, pod string) (string, error) {
	text, err := c.get(ctx, pod, "/metrics")
	return string(text), err
}

// ReadyVersions gives what the ready proxies call themselves, sorted, each
// once.
func (c *Cluster) ReadyVersions(ctx context.Context) ([]string, error) {
	pods, err := c.Pods(ctx, Deployment)
	if err != nil {
		return nil, err
	}
	var versions []string
	for i := range pods {
		if !podReady(&pods[i]) {
			continue
		}
		text, err := c.get(ctx, pods[i].Name, "/status")
		if err != nil {
			return nil, err
		}
		var status struct {
			Version string `json:"version"`
		}
		if err := json.Unmarshal(text, &status); err != nil {
			return nil, err
		}
		versions = append(versions, status.Version)
	}
	slices.Sort(versions)
	return slices.Compact(versions), nil
}

// StateOfService is what ConfigMap migration-state says about a service.
type StateOfService struct {
	Phase  string `json:"phase"`
	Reason string `json:"reason"`
}

// AwaitState waits until ConfigMap migration-state is as the function wants
// it.
func (s *Site) AwaitState(want func(services map[string]StateOfService) error) {
	s.t.Helper()
	Await(s.t, "migration-state", func(ctx context.Context) error {
		object, err := s.Client.CoreV1().ConfigMaps(Namespace).Get(ctx, StateMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		var state struct {
			Services map[string]StateOfService `json:"services"`
		}
		if err := json.Unmarshal([]byte(object.Data["state.json"]), &state); err != nil {
			return fmt.Errorf("state.json: %w", err)
		}
		return want(state.Services)
	})
}

// WithoutAnnotation takes an annotation out of what Written gave.
func WithoutAnnotation(t T, written, name string) string {
	t.Helper()
	var object map[string]any
	must(t, json.Unmarshal([]byte(written), &object), "read an Ingress")
	metadata, _ := object["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	delete(annotations, name)
	if len(annotations) == 0 {
		delete(metadata, "annotations")
	}
	text, err := json.MarshalIndent(object, "", " ")
	must(t, err, "write an Ingress")
	return string(text)
}
