package world

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RampMap is the ConfigMap with the positions of ramps.
const RampMap = "migration-ramp"

// WaitForPosition waits until the ramp of a service has the position, in percent.
func (s *App) WaitForPosition(service string, want float64) {
	s.t.Helper()
	Eventually(s.t, fmt.Sprintf("%s at %g %%", service, want), func(ctx context.Context) error {
		got, err := s.position(ctx, service)
		if err == nil && got != want {
			err = fmt.Errorf("it is at %g %%", got)
		}
		return err
	})
}

func (c *Cluster) position(ctx context.Context, service string) (float64, error) {
	object, err := c.Client.CoreV1().ConfigMaps(Namespace).Get(ctx, RampMap, metav1.GetOptions{})
	if err != nil {
		return 0, err
	}
	var positions struct {
		Services map[string]struct {
			Share float64 `json:"share_percent"`
		} `json:"services"`
	}
	if err := json.Unmarshal([]byte(object.Data["positions.json"]), &positions); err != nil {
		return 0, fmt.Errorf("positions.json: %w", err)
	}
	return positions.Services[service].Share, nil
}

// ServerSideApplyConfig applies the live migration config as a GitOps tool does, with its
// own field manager.
func (c *Cluster) ServerSideApplyConfig(t T, manager string, more ...string) Result {
	t.Helper()
	c.edits.Lock()
	defer c.edits.Unlock()
	object := newConfigMap(c.ConfigText(t))
	object.Namespace, object.APIVersion, object.Kind = Namespace, "v1", "ConfigMap"
	text, err := json.Marshal(object)
	must(t, err, "write the migration config")
	args := append([]string{"apply", "--server-side", "--field-manager", manager, "-f", "-"}, more...)
	return c.Try(t, Command{Program: "kubectl", Args: args, Input: string(text)})
}
