package webhook

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// View is what requests are judged by: the last good migration table and the
// cluster's state, as the two ConfigMaps say. Requests read an immutable
// snapshot; Follow replaces it.
type View struct {
	config, state kube.NamedConfigMap
	log           *slog.Logger
	now           atomic.Pointer[snapshot]

	mu       sync.Mutex // of the writers, for what follows
	loader   config.Loader
	valid    *migration.Table // the last config that was valid
	lastGood lastGood         // what the watcher remembers, while there is no valid one
	next     snapshot
}

// snapshot is the view at one moment.
type snapshot struct {
	table      *migration.Table // nil: no valid config is known
	state      status.Cluster
	configRead bool // the API server has said what the config is, or that there is none
	stateRead  bool
}

// lastGood is key last-good.yaml of ConfigMap migration-state.
type lastGood struct {
	text  string
	table *migration.Table
}

// NewView names the two ConfigMaps: the migration config and the cluster's
// state. Nothing is known of them until Follow runs.
func NewView(config, state kube.NamedConfigMap, log *slog.Logger) *View {
	view := &View{config: config, state: state, log: log}
	view.now.Store(&snapshot{})
	return view
}

// Follow keeps the view up to date until ctx ends, also over outages of the
// API server: then what was known stays. It returns nil.
func (v *View) Follow(ctx context.Context) error {
	var failed [2]error
	var both sync.WaitGroup
	both.Go(func() { failed[0] = v.config.Follow(ctx, v.takeConfig) })
	both.Go(func() { failed[1] = v.state.Follow(ctx, v.takeState) })
	both.Wait()
	return errors.Join(failed[:]...)
}

// Synced returns nil once both ConfigMaps were looked up. Until then nobody
// can say what an Ingress must be.
func (v *View) Synced() error {
	now := v.now.Load()
	switch {
	case !now.configRead:
		return errors.New("the API server has not answered yet for ConfigMap " + v.config.String())
	case !now.stateRead:
		return errors.New("the API server has not answered yet for ConfigMap " + v.state.String())
	}
	return nil
}

// takeConfig keeps the last good table when this version is not good.
func (v *View) takeConfig(configMap *corev1.ConfigMap) {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.publish()
	v.next.configRead = true
	text, err := v.config.ConfigText(configMap)
	if err != nil {
		v.log.Warn("There is no migration config, the last good one stays", "problem", err)
		return
	}
	table, err := v.loader.Load(v.config.String(), text)
	if err != nil {
		v.log.Warn("The migration config is invalid, the last good one stays", "problems", strings.Split(err.Error(), "\n"))
		return
	}
	v.valid = table
}

// takeState keeps the last state that could be read. The pause always counts:
// somebody is restoring Ingresses by hand.
func (v *View) takeState(configMap *corev1.ConfigMap) {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer v.publish()
	v.next.stateRead = true
	var data map[string]string
	if configMap != nil {
		data = configMap.Data
	}
	state, err := status.ParseCluster(data)
	if err != nil {
		v.log.Error("The cluster's state cannot be read, the last one stays", "configmap", v.state.String(), "error", err)
		state.Services, state.Namespaces = v.next.state.Services, v.next.state.Namespaces
	}
	v.next.state = state
	if v.valid == nil {
		v.lastGood.take(v.state.String(), data[status.LastGoodKey])
	}
}

// take reads what another version of this program may have written: what does
// not load counts for nothing.
func (l *lastGood) take(source, text string) {
	if text == l.text {
		return
	}
	*l = lastGood{text: text}
	if table, err := config.Load(source, []byte(text)); err == nil {
		l.table = table
	}
}

func (v *View) publish() {
	now := v.next
	if now.table = v.valid; now.table == nil {
		now.table = v.lastGood.table
	}
	v.now.Store(&now)
}
