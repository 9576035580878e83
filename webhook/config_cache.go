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

// ConfigCache holds the last good migration table and the cluster's state, from
// two ConfigMaps. Requests read an immutable snapshot, which Follow replaces.
type ConfigCache struct {
	config, state kube.NamedConfigMap
	log           *slog.Logger
	current       atomic.Pointer[snapshot]

	mu       sync.Mutex       // of takeConfig and takeState, for the fields below
	valid    *migration.Table // the last valid config
	lastGood lastGood         // used while valid is nil
	next     snapshot
}

// snapshot is the content of the ConfigCache at one moment.
type snapshot struct {
	table      *migration.Table // nil: no valid config is known
	state      status.Cluster
	configRead bool // the API server has answered for the config, also if it does not exist
	stateRead  bool // the same for the state
}

// lastGood is the config in key last-good.yaml of ConfigMap migration-state,
// where the watcher keeps the last valid one.
type lastGood struct {
	text  string
	table *migration.Table
}

// NewConfigCache creates an empty cache of the migration config and the
// cluster's state. Follow fills it.
func NewConfigCache(config, state kube.NamedConfigMap, log *slog.Logger) *ConfigCache {
	c := &ConfigCache{config: config, state: state, log: log}
	c.current.Store(&snapshot{})
	return c
}

// Follow watches both ConfigMaps until ctx ends, and then returns nil. While the
// API server is away the cache keeps its content.
func (c *ConfigCache) Follow(ctx context.Context) error {
	var errs [2]error
	var watches sync.WaitGroup
	watches.Go(func() { errs[0] = c.config.Follow(ctx, c.takeConfig) })
	watches.Go(func() { errs[1] = c.state.Follow(ctx, c.takeState) })
	watches.Wait()
	return errors.Join(errs[:]...)
}

// Synced returns nil once the API server has answered for both ConfigMaps.
// Before that it is not known how an Ingress must change.
func (c *ConfigCache) Synced() error {
	current := c.current.Load()
	switch {
	case !current.configRead:
		return errors.New("the API server has not answered yet for ConfigMap " + c.config.String())
	case !current.stateRead:
		return errors.New("the API server has not answered yet for ConfigMap " + c.state.String())
	}
	return nil
}

// takeConfig takes a version of the migration config. If it is not valid, the
// last good table stays.
func (c *ConfigCache) takeConfig(configMap *corev1.ConfigMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.publish()
	c.next.configRead = true
	text, err := c.config.ConfigText(configMap)
	if err != nil {
		c.log.Warn("no migration config found, keeping the last good one", "error", err)
		return
	}
	table, err := config.Load(c.config.String(), text)
	if err != nil {
		c.log.Warn("migration config is invalid, keeping the last good one", "problems", strings.Split(err.Error(), "\n"))
		return
	}
	c.valid = table
}

// takeState takes a version of the cluster's state. If it is not readable, the
// services of the last one stay. Its pause counts all the same: somebody is
// restoring Ingresses by hand.
func (c *ConfigCache) takeState(configMap *corev1.ConfigMap) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.publish()
	c.next.stateRead = true
	var data map[string]string
	if configMap != nil {
		data = configMap.Data
	}
	state, err := status.ParseCluster(data)
	if err != nil {
		c.log.Error("cluster state not readable, keeping the last one", "configmap", c.state.String(), "error", err)
		state.Services = c.next.state.Services
	}
	c.next.state = state
	if c.valid == nil {
		c.lastGood.take(c.state.String(), data[status.LastGoodKey])
	}
}

// take loads the text if it is new. A text that does not load counts as none:
// another version of this program may have written it.
func (l *lastGood) take(source, text string) {
	if text == l.text {
		return
	}
	*l = lastGood{text: text}
	if table, err := config.Load(source, []byte(text)); err == nil {
		l.table = table
	}
}

// publish makes the next snapshot the current one.
func (c *ConfigCache) publish() {
	published := c.next
	if published.table = c.valid; published.table == nil {
		published.table = c.lastGood.table
	}
	c.current.Store(&published)
}
