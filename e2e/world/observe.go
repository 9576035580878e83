package world

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// statusPort is the port for metrics and status of all our programs.
const statusPort = 8080

// get reads a path of one of the installation's Pods through the API server.
func (c *Cluster) get(ctx context.Context, pod, path string) ([]byte, error) {
	text, err := c.Client.CoreV1().RESTClient().Get().Namespace(Namespace).Resource("pods").
		Name(fmt.Sprintf("%s:%d", pod, statusPort)).SubResource("proxy").Suffix(path).DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s of pod %s: %w", path, pod, err)
	}
	return text, nil
}

// Metrics gives the metrics of one of the installation's Pods.
func (c *Cluster) Metrics(ctx context.Context, pod string) (string, error) {
	text, err := c.get(ctx, pod, "/metrics")
	return string(text), err
}

// ReadyVersions gives the versions of the ready proxies, sorted and without
// duplicates.
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

// StateOfService is a service in ConfigMap migration-state.
type StateOfService struct {
	Phase  string `json:"phase"`
	Reason string `json:"reason"`
}

// WaitForState waits until the function accepts the services in ConfigMap
// migration-state.
func (s *App) WaitForState(want func(services map[string]StateOfService) error) {
	s.t.Helper()
	Eventually(s.t, "migration-state", func(ctx context.Context) error {
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

// WaitForJournal waits until the history of a service has the texts.
func (s *App) WaitForJournal(texts ...string) {
	s.t.Helper()
	Eventually(s.t, "migration-journal", func(ctx context.Context) error {
		object, err := s.Client.CoreV1().ConfigMaps(Namespace).Get(ctx, "migration-journal", metav1.GetOptions{})
		if err != nil {
			return err
		}
		var journal struct {
			Entries []struct{ Service, What string }
		}
		if err := json.Unmarshal([]byte(object.Data["entries.json"]), &journal); err != nil {
			return fmt.Errorf("entries.json: %w", err)
		}
		var own []string
		for _, entry := range journal.Entries {
			if entry.Service == s.Service {
				own = append(own, entry.What)
			}
		}
		for _, text := range texts {
			if !slices.Contains(own, text) {
				return fmt.Errorf("no entry %q in %q", text, own)
			}
		}
		return nil
	})
}

// WithoutAnnotation removes an annotation from a result of IngressJSON.
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
