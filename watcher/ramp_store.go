package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// rampStore is ConfigMap migration-ramp. Each write names the version that it changes,
// so that a watcher which has lost the lease and does not know it yet is refused.
type rampStore struct {
	source  kube.NamedConfigMap
	metrics *metrics

	mu     sync.Mutex
	known  bool              // the API server has answered once
	latest *corev1.ConfigMap // nil: it does not exist
}

// take notes a version that the API server returned.
func (s *rampStore) take(version *corev1.ConfigMap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = true
	if version == nil || s.latest == nil || !kube.Older(version, s.latest) {
		s.latest = version
	}
}

func (s *rampStore) get() (version *corev1.ConfigMap, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest, s.known
}

// follow takes the versions in until ctx ends.
func (s *rampStore) follow(ctx context.Context) {
	_ = s.source.Follow(ctx, s.take) // it ends with ctx, without an error
}

// write replaces the watcher's keys.
func (s *rampStore) write(ctx context.Context, positions, machine string) error {
	version, _ := s.get()
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	client := s.source.Client.CoreV1().ConfigMaps(s.source.Namespace)
	keys := map[string]string{status.PositionsKey: positions, status.MachineKey: machine}
	var after *corev1.ConfigMap
	var err error
	if version == nil {
		after, err = client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: s.source.Name}, Data: keys}, metav1.CreateOptions{FieldManager: names.Manager})
	} else {
		patch, marshalErr := json.Marshal(map[string]any{
			"metadata": map[string]string{"uid": string(version.UID), "resourceVersion": version.ResourceVersion}, "data": keys,
		})
		if marshalErr != nil {
			return fmt.Errorf("write ConfigMap %s: %w", s.source, marshalErr)
		}
		after, err = client.Patch(ctx, s.source.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
	}
	if s.metrics.countWrite("ConfigMap", err) != nil {
		if apierrors.IsNotFound(err) {
			s.take(nil) // the watch says so later
		}
		return fmt.Errorf("write ConfigMap %s: %w", s.source, err)
	}
	s.take(after)
	return nil
}

// formatMachine is the text of the states.
func formatMachine(states map[string]ramp.State) (string, error) {
	encoded := make(map[string]json.RawMessage, len(states))
	for name, state := range states {
		text, err := ramp.EncodeState(state)
		if err != nil {
			return "", fmt.Errorf("service %s: %w", name, err)
		}
		encoded[name] = text
	}
	text, err := json.Marshal(encoded)
	return string(text), err
}
