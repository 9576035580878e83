package watcher

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// TestOnItsWay: a config is on its way until each ready replica serves it, but a replica
// that never does holds nothing for longer than maxOnItsWay.
func TestOnItsWay(t *testing.T) {
	t.Parallel()
	table, err := config.Load("test", []byte("services: []"))
	require.NoError(t, err)
	since := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	serving := status.Status{Config: status.Config{Digest: table.Digest()}}
	replica := func(ready bool, serves status.Status) servicestate.ReplicaStatus {
		return servicestate.ReplicaStatus{Endpoint: kube.Endpoint{Ready: ready}, Status: serves}
	}
	cases := map[string]struct {
		replicas []servicestate.ReplicaStatus
		after    time.Duration
		want     bool
	}{
		"all serve it":              {[]servicestate.ReplicaStatus{replica(true, serving)}, 0, false},
		"one does not":              {[]servicestate.ReplicaStatus{replica(true, serving), replica(true, status.Status{})}, 0, true},
		"one that is not ready":     {[]servicestate.ReplicaStatus{replica(true, serving), replica(false, status.Status{})}, 0, false},
		"one does not for too long": {[]servicestate.ReplicaStatus{replica(true, status.Status{})}, maxOnItsWay, false},
	}
	for name, c := range cases {
		loop := &stateLoop{config: &configState{table: table, since: since}, replicas: c.replicas}
		require.Equal(t, c.want, loop.onItsWay(since.Add(c.after)), name)
	}
	require.False(t, (&stateLoop{config: &configState{}}).onItsWay(since), "no config was ever valid")
}
