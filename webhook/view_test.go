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
	served = `{"services":{"api":{"host":"api.example.com","path_prefix":"/","phase":"Migrating","since":"2026-01-01T00:00:00Z"}},"namespaces":["shop"]}`
)

func newView() *View {
	object := func(name string) kube.NamedConfigMap {
		return kube.NamedConfigMap{Namespace: "mp", Name: name, Log: quiet}
	}
	return NewView(object(names.ConfigMap), object(names.StateMap), quiet)
}

func configMap(data map[string]string) *corev1.ConfigMap { return &corev1.ConfigMap{Data: data} }

func configText(text string) *corev1.ConfigMap {
	return configMap(map[string]string{names.ConfigKey: text})
}

// known is a view as it is in a cluster where service api is served.
func known() *View {
	view := newView()
	view.takeConfig(configText(oneService))
	view.takeState(configMap(map[string]string{status.ClusterKey: served}))
	return view
}

func TestViewIsSyncedWhenBothWereAsked(t *testing.T) {
	t.Parallel()
	view := newView()
	require.ErrorContains(t, view.Synced(), "mp/migration-config")
	view.takeConfig(nil)
	require.ErrorContains(t, view.Synced(), "mp/migration-state")
	view.takeState(nil)
	require.NoError(t, view.Synced())
	require.Nil(t, view.now.Load().table, "there is no config")
	require.Empty(t, view.now.Load().state.Services)
}

func TestViewKeepsTheLastGoodConfig(t *testing.T) {
	t.Parallel()
	view := known()
	good := view.now.Load().table
	require.Len(t, good.Services(), 1)
	for _, bad := range []*corev1.ConfigMap{nil, configText("services: 1"), configMap(map[string]string{"migration.yml": oneService})} {
		view.takeConfig(bad)
		require.Same(t, good, view.now.Load().table)
	}
	view.takeConfig(configText("services: []"))
	require.Empty(t, view.now.Load().table.Services())
}

// A webhook that starts while the config is invalid goes on with what the
// watcher remembers, whichever ConfigMap comes first.
func TestViewStartsWithTheLastGoodConfig(t *testing.T) {
	t.Parallel()
	state := configMap(map[string]string{status.LastGoodKey: oneService})
	for _, stateFirst := range []bool{true, false} {
		view := newView()
		if stateFirst {
			view.takeState(state)
		}
		view.takeConfig(configText("services: 1"))
		view.takeState(state)
		require.Len(t, view.now.Load().table.Services(), 1)
		view.takeConfig(configText("services: []"))
		require.Empty(t, view.now.Load().table.Services(), "a valid config counts before it")
	}
	view := newView()
	view.takeState(configMap(map[string]string{status.LastGoodKey: "of another version: 1"}))
	require.Nil(t, view.now.Load().table)
}

func TestViewKeepsTheLastState(t *testing.T) {
	t.Parallel()
	view := known()
	view.takeState(configMap(map[string]string{status.ClusterKey: "{", status.PausedKey: "restore --all"}))
	require.Contains(t, view.now.Load().state.Services, "api")
	require.Equal(t, "restore --all", view.now.Load().state.Paused, "a pause always counts")
	view.takeState(nil)
	require.Empty(t, view.now.Load().state.Services, "without a state nothing is served")
}
