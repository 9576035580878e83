package world

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/util/retry"
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
	if err := json.Unmarshal([]byte(object.Data[positionsKey]), &positions); err != nil {
		return 0, fmt.Errorf("%s: %w", positionsKey, err)
	}
	return positions.Services[service].Share, nil
}

// The keys of RampMap.
const (
	positionsKey = "positions.json"
	machineKey   = "machine.json"
	commandsKey  = "commands.json"
)

// Ramp is the state of a service's ramp, as the leader has written it.
type Ramp struct {
	Phase     string    `json:"phase"`
	Reason    string    `json:"reason"`
	Position  int       `json:"position"`   // in hundredths of a percent
	StepSince time.Time `json:"step_since"` // the position is served since then
	Settling  bool      `json:"settling"`   // not every replica has served it yet
	Command   string    `json:"command"`    // ID of the last one that was taken
}

// Ramps gives the ramps of all services.
func (c *Cluster) Ramps(ctx context.Context) (map[string]Ramp, error) {
	object, err := c.Client.CoreV1().ConfigMaps(Namespace).Get(ctx, RampMap, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	var ramps map[string]Ramp
	if err := json.Unmarshal([]byte(object.Data[machineKey]), &ramps); err != nil {
		return nil, fmt.Errorf("%s: %w", machineKey, err)
	}
	return ramps, nil
}

// WaitForRamps waits until the function accepts the ramps of all services.
func (s *App) WaitForRamps(what string, want func(map[string]Ramp) error) {
	s.t.Helper()
	Eventually(s.t, what, func(ctx context.Context) error {
		ramps, err := s.Ramps(ctx)
		if err != nil {
			return err
		}
		return want(ramps)
	})
}

// CommandRamps writes one command for each service, as the command line does, and waits
// until the leader has taken all of them. The verbs are by service.
func (s *App) CommandRamps(verbs map[string]string) {
	s.t.Helper()
	ids := map[string]string{}
	err := retry.RetryOnConflict(manyRetries, func() error {
		ramps, err := s.Ramps(s.t.Context())
		if err != nil {
			return err
		}
		object, err := s.Client.CoreV1().ConfigMaps(Namespace).Get(s.t.Context(), RampMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		all := map[string]map[string]any{"services": {}}
		if text := object.Data[commandsKey]; text != "" {
			if err := json.Unmarshal([]byte(text), &all); err != nil {
				return err
			}
		}
		for service, verb := range verbs {
			ids[service] = rand.String(8)
			all["services"][service] = map[string]any{
				"id": ids[service], "verb": verb, "share_percent": float64(ramps[service].Position) / 100, "by": "e2e", "at": time.Now(),
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			return err
		}
		object.Data[commandsKey] = string(text)
		_, err = s.Client.CoreV1().ConfigMaps(Namespace).Update(s.t.Context(), object, metav1.UpdateOptions{})
		return err
	})
	must(s.t, err, "command ramps: %v", verbs)
	s.WaitForRamps("the leader takes the commands", func(ramps map[string]Ramp) error {
		for service, id := range ids {
			if ramps[service].Command != id {
				return fmt.Errorf("not yet for %s, %+v", service, ramps[service])
			}
		}
		return nil
	})
}

// SetPosition writes a position as the leader does; no leader may run.
func (s *App) SetPosition(percent int) error {
	text := fmt.Sprintf(`{"services":{%q:{"share_percent":%d}}}`, s.Service, percent)
	patch, err := json.Marshal(map[string]any{"data": map[string]string{positionsKey: text}})
	if err != nil {
		return err
	}
	_, err = s.Client.CoreV1().ConfigMaps(Namespace).Patch(s.t.Context(), RampMap, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
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
