package webhook

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

var quiet = slog.New(slog.DiscardHandler)

const (
	oneService = `
services:
  - name: api
    old_host: api.example.com
    old_backend: web.shop.svc:80
    new_host: api.new.example.com
    new_backend: api.new.example.com:443
    migration: {enabled: true, percentage: 20}
`
	served = `{"services":{"api":{"host":"api.example.com","path_prefix":"/","phase":"Migrating","since":"2026-01-01T00:00:00Z"}}}`
)

func newCache() *ConfigCache {
	object := func(name string) kube.NamedConfigMap {
		return kube.NamedConfigMap{Namespace: "mp", Name: name, Log: quiet}
	}
	return NewConfigCache(object(names.ConfigMap), object(names.StateMap), quiet)
}

func configMap(data map[string]string) *corev1.ConfigMap { return &corev1.ConfigMap{Data: data} }

func configText(text string) *corev1.ConfigMap {
	return configMap(map[string]string{names.ConfigKey: text})
}

// syncedCache is the cache in a cluster where the replicas serve service api.
func syncedCache() *ConfigCache {
	cache := newCache()
	cache.takeConfig(configText(oneService))
	cache.takeState(configMap(map[string]string{status.ClusterKey: served}))
	return cache
}

// TestSynced: the cache is synced when the API server has answered for both
// ConfigMaps, also if they do not exist.
func TestSynced(t *testing.T) {
	t.Parallel()
	cache := newCache()
	require.ErrorContains(t, cache.Synced(), "mp/migration-config")
	cache.takeConfig(nil)
	require.ErrorContains(t, cache.Synced(), "mp/migration-state")
	cache.takeState(nil)
	require.NoError(t, cache.Synced())
	require.Nil(t, cache.current.Load().table, "there is no config")
	require.Empty(t, cache.current.Load().state.Services)
}

func TestCacheKeepsTheLastGoodConfig(t *testing.T) {
	t.Parallel()
	cache := syncedCache()
	good := cache.current.Load().table
	require.Len(t, good.Services(), 1)
	for _, bad := range []*corev1.ConfigMap{nil, configText("services: 1"), configMap(map[string]string{"migration.yml": oneService})} {
		cache.takeConfig(bad)
		require.Same(t, good, cache.current.Load().table)
	}
	cache.takeConfig(configText("services: []"))
	require.Empty(t, cache.current.Load().table.Services())
}

// TestCacheStartsWithTheLastGoodConfig: a webhook that starts while the config is
// invalid uses the config that the watcher keeps, whichever ConfigMap comes first.
func TestCacheStartsWithTheLastGoodConfig(t *testing.T) {
	t.Parallel()
	state := configMap(map[string]string{status.LastGoodKey: oneService})
	for _, stateFirst := range []bool{true, false} {
		cache := newCache()
		if stateFirst {
			cache.takeState(state)
		}
		cache.takeConfig(configText("services: 1"))
		cache.takeState(state)
		require.Len(t, cache.current.Load().table.Services(), 1)
		cache.takeConfig(configText("services: []"))
		require.Empty(t, cache.current.Load().table.Services(), "a valid config comes first")
	}
	cache := newCache()
	cache.takeState(configMap(map[string]string{status.LastGoodKey: "of another version: 1"}))
	require.Nil(t, cache.current.Load().table)
}

func TestCacheKeepsTheLastState(t *testing.T) {
	t.Parallel()
	cache := syncedCache()
	cache.takeState(configMap(map[string]string{status.ClusterKey: "{", status.PausedKey: "restore --all"}))
	require.Contains(t, cache.current.Load().state.Services, "api")
	require.Equal(t, "restore --all", cache.current.Load().state.Paused, "a pause always counts")
	cache.takeState(nil)
	require.Empty(t, cache.current.Load().state.Services, "without a state no service is served")
}
