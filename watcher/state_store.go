package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// maxStateBytes is what all keys together may have; a ConfigMap has 1 MiB.
const maxStateBytes = 1 << 20 * 95 / 100

// stateStore is ConfigMap migration-state: what admission and the command line
// read, and what the next leader continues from. Only the state loop uses it,
// except for write.
type stateStore struct {
	source kube.NamedConfigMap
	writes apiwrite.Counter
	log    *slog.Logger

	known  bool              // the API server has answered once
	latest *corev1.ConfigMap // the newest known version; nil: it does not exist
	// paused is the last known value of key paused. It holds also when the
	// ConfigMap is gone: after restore --all, a user who deletes everything of
	// the migration proxy may delete the watcher last.
	paused   string
	compared comparedState
}

// storedState is what the watcher stores.
type storedState struct {
	cluster   status.Cluster
	lastGood  string           // "" is none
	ingresses status.Ingresses // the notes
}

func (s storedState) equal(other storedState) bool {
	return s.lastGood == other.lastGood && desiredstate.SameServices(s.cluster, other.cluster) &&
		s.ingresses.Total == other.ingresses.Total && slices.Equal(s.ingresses.Noted, other.ingresses.Noted)
}

// comparedState is a state that the ConfigMap is known to have. It spares
// formatting a big state at each poll only to find that nothing has changed.
type comparedState struct {
	with  *corev1.ConfigMap
	state storedState
	fits  bool
}

// stateKeys are keys of the ConfigMap with their values. A nil value removes
// the key, as in a merge patch.
type stateKeys map[string]any

// take notes a version that the API server returned, unless it is older than
// the watcher's own write.
func (s *stateStore) take(configMap *corev1.ConfigMap) {
	s.known = true
	if configMap != nil && s.latest != nil && kube.Older(configMap, s.latest) {
		return
	}
	s.latest = configMap
	if configMap != nil {
		s.paused = configMap.Data[status.PausedKey]
	}
}

// cluster is the stored state. One that does not parse counts as none: it is
// resolved again from what the replicas report.
func (s *stateStore) cluster() status.Cluster {
	state, err := status.ParseCluster(s.data())
	if err != nil {
		s.log.Warn("stored state is not readable, starting without it", "configmap", s.source.String(), "error", err)
	}
	return state
}

// lastGood is the last valid config that a replica served.
func (s *stateStore) lastGood() (text string, ok bool) {
	text, ok = s.data()[status.LastGoodKey]
	return text, ok
}

func (s *stateStore) data() map[string]string {
	if s.latest == nil {
		return nil
	}
	return s.latest.Data
}

// missing returns the keys that must be written so that the ConfigMap has this
// state; nil: it has. A lastGood that does not fit beside the state is left
// out, and fits is false. Key paused belongs to the command restore; it is
// written only with a new ConfigMap.
func (s *stateStore) missing(state storedState) (keys stateKeys, fits bool, err error) {
	if s.compared.with != nil && s.compared.with == s.latest && s.compared.state.equal(state) {
		return nil, s.compared.fits, nil
	}
	keys, fits, err = formatState(state)
	if err == nil && s.latest == nil && s.paused != "" {
		keys[status.PausedKey] = s.paused
	}
	if err != nil || !s.has(keys) {
		return keys, fits, err
	}
	s.compared = comparedState{s.latest, state, fits}
	return nil, fits, nil
}

// formatState gives the keys. Notes that do not fit beside the others are left out.
func formatState(state storedState) (keys stateKeys, fits bool, err error) {
	text, err := formatCluster(state.cluster)
	if err != nil {
		return nil, false, err
	}
	keys = stateKeys{status.ClusterKey: text, status.IngressesKey: nil}
	size := len(text) + len(state.lastGood)
	fits = size <= maxStateBytes
	if fits && state.lastGood != "" {
		keys[status.LastGoodKey] = state.lastGood
	}
	if !fits {
		keys[status.LastGoodKey] = nil // an old one would be wrong
	}
	notes, err := status.FormatIngresses(state.ingresses)
	if state.ingresses.Total > 0 && size+len(notes) <= maxStateBytes {
		keys[status.IngressesKey] = notes
	}
	return keys, fits, err
}

// formatCluster is the state's text. The reasons are shortened until it fits:
// when all services of a big new cluster fail, that must be stored.
func formatCluster(cluster status.Cluster) (text string, err error) {
	for _, limit := range []int{servicestate.MaxReasonBytes, 100, 50, 0} {
		short := status.Cluster{Services: make(map[string]status.ClusterService, len(cluster.Services))}
		for name, service := range cluster.Services {
			service.Reason = excerpt.Of(service.Reason, limit)
			short.Services[name] = service
		}
		if text, err = short.Text(); err != nil || len(text) <= maxStateBytes {
			break
		}
	}
	return text, err
}

// has reports whether the ConfigMap has these keys.
func (s *stateStore) has(keys stateKeys) bool {
	data := s.data()
	for key, value := range keys {
		stored, ok := data[key]
		if ok != (value != nil) || ok && stored != value {
			return false
		}
	}
	return s.latest != nil
}

// write sends these keys and no other, and returns the ConfigMap with them.
// Two watchers at a time, one of which does not know yet that it lost the
// lease, may overwrite each other once; the leader sees that and writes again.
func (s *stateStore) write(ctx context.Context, keys stateKeys) (*corev1.ConfigMap, error) {
	patch, err := json.Marshal(map[string]any{"data": keys})
	if err != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", s.source, err)
	}
	ctx, cancel := apiwrite.WithTimeout(ctx)
	defer cancel()
	client := s.source.Client.CoreV1().ConfigMaps(s.source.Namespace)
	after, err := client.Patch(ctx, s.source.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
	if apierrors.IsNotFound(err) {
		after, err = client.Create(ctx, s.newConfigMap(keys), metav1.CreateOptions{FieldManager: names.Manager})
	}
	if s.writes.Count("ConfigMap", err) != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", s.source, err)
	}
	return after, nil
}

// newConfigMap has no labels: they are the chart's, and helm upgrade would be
// refused if it found others.
func (s *stateStore) newConfigMap(keys stateKeys) *corev1.ConfigMap {
	configMap := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: s.source.Name}, Data: map[string]string{}}
	for key, value := range keys {
		if text, ok := value.(string); ok {
			configMap.Data[key] = text
		}
	}
	return configMap
}
