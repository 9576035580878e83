package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// mostBytes is what both keys together may have; a ConfigMap takes 1 MiB.
const mostBytes = 1 << 20 * 95 / 100

// record is ConfigMap migration-state as far as it is known: what others read,
// and what the next leader begins with. Only the owner's goroutine uses it; put
// is for any.
type record struct {
	maps    typedcorev1.ConfigMapInterface
	metrics *metrics
	log     *slog.Logger
	name    string

	known  bool              // the API server has answered once
	latest *corev1.ConfigMap // the newest known version; nil: it does not exist
	pause  string            // the last word of key paused
	said   said              // what latest is known to say
}

// said spares writing a big state down each second only to see that it is the
// same.
type said struct {
	in       *corev1.ConfigMap
	state    status.Cluster
	lastGood string
	kept     bool
}

// take notes a version that was seen, unless it is older than our own write.
func (r *record) take(seen *corev1.ConfigMap) {
	r.known = true
	if seen != nil && r.latest != nil && older(seen.ResourceVersion, r.latest.ResourceVersion) {
		return
	}
	r.latest = seen
	if seen != nil {
		r.pause = seen.Data[status.PausedKey]
	}
}

// cluster is the recorded state. One that does not parse counts as none: it is
// found again from the replicas.
func (r *record) cluster() status.Cluster {
	state, err := status.ParseCluster(r.data())
	if err != nil {
		r.log.Warn("The recorded state is not readable, starting without", "configmap", r.name, "error", err)
	}
	return state
}

// paused holds also when the ConfigMap is gone: who deletes all that is ours
// after restore --all may delete the watcher last.
func (r *record) paused() string { return r.pause }

func (r *record) lastGood() (string, bool) {
	text, ok := r.data()[status.LastGoodKey]
	return text, ok
}

func (r *record) data() map[string]string {
	if r.latest == nil {
		return nil
	}
	return r.latest.Data
}

// lacks gives the keys that the ConfigMap must have to say this; nil when it
// says so. Key paused is the command restore's, and not among them as long as there
// is a ConfigMap. A lastGood
// that does not fit beside the state is left out, and kept is false.
func (r *record) lacks(state status.Cluster, lastGood string) (keys map[string]any, kept bool, err error) {
	if r.said.in != nil && r.said.in == r.latest && r.said.lastGood == lastGood && sameState(r.said.state, state) {
		return nil, r.said.kept, nil
	}
	keys, kept, err = keysOf(state, lastGood)
	if err == nil && r.latest == nil && r.pause != "" {
		keys[status.PausedKey] = r.pause
	}
	if err != nil || !r.says(keys) {
		return keys, kept, err
	}
	r.said = said{r.latest, state, lastGood, kept}
	return nil, kept, nil
}

func keysOf(state status.Cluster, lastGood string) (keys map[string]any, kept bool, err error) {
	text, err := fitting(state)
	if err != nil {
		return nil, false, err
	}
	keys = map[string]any{status.ClusterKey: text}
	kept = len(text)+len(lastGood) <= mostBytes
	if kept && lastGood != "" {
		keys[status.LastGoodKey] = lastGood
	}
	if !kept {
		keys[status.LastGoodKey] = nil // an old one would be wrong
	}
	return keys, kept, nil
}

// fitting is the state's text, with the reasons shortened until it can be
// kept: when all of a big new cluster fails, that it did must be written down.
func fitting(state status.Cluster) (text string, err error) {
	for _, most := range []int{mostReason, 100, 50, 0} {
		short := status.Cluster{Services: make(map[string]status.ClusterService, len(state.Services)), Namespaces: state.Namespaces}
		for name, service := range state.Services {
			service.Reason = excerpt.Of(service.Reason, most)
			short.Services[name] = service
		}
		if text, err = short.Text(); err != nil || len(text) <= mostBytes {
			break
		}
	}
	return text, err
}

func (r *record) says(keys map[string]any) bool {
	data := r.data()
	for key, value := range keys {
		found, ok := data[key]
		if ok != (value != nil) || ok && found != value {
			return false
		}
	}
	return r.latest != nil
}

// put sends these keys and no other, and gives what the ConfigMap is then. Two watchers at a time, one of which
// does not know yet that it lost the lease, may overwrite each other once; the
// leader sees that and writes again.
func (r *record) put(ctx context.Context, keys map[string]any) (after *corev1.ConfigMap, err error) {
	patch, err := json.Marshal(map[string]any{"data": keys})
	if err != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", r.name, err)
	}
	ctx, cancel := within(ctx)
	defer cancel()
	after, err = r.maps.Patch(ctx, r.name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
	if apierrors.IsNotFound(err) {
		after, err = r.maps.Create(ctx, r.fresh(keys), metav1.CreateOptions{FieldManager: names.Manager})
	}
	if r.metrics.wrote("ConfigMap", err) != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", r.name, err)
	}
	return after, nil
}

// fresh has no labels: they are the chart's, and helm upgrade would be refused
// if it found others.
func (r *record) fresh(keys map[string]any) *corev1.ConfigMap {
	made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: r.name}, Data: map[string]string{}}
	for key, value := range keys {
		if text, ok := value.(string); ok {
			made.Data[key] = text
		}
	}
	return made
}
