package clusterstatus_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const oneService = `services:
- {name: shop, old_host: shop.example.com, old_backend: 'a:80', new_host: b, new_backend: 'b:80', migration: {enabled: true, percentage: 20}}
`

func load(t *testing.T) *migration.Table {
	t.Helper()
	table, err := config.Load("c", []byte(oneService))
	require.NoError(t, err)
	return table
}

// replicaOf is a ready replica that serves shop with this row.
func replicaOf(pod, digest string, row status.Service) kube.Replica {
	row.Name, row.OldHost, row.PathPrefix = "shop", "shop.example.com", "/"
	return kube.Replica{
		Endpoint: kube.Endpoint{Pod: pod, Ready: true},
		Status:   status.Status{StartedAt: time.Now(), Config: status.Config{Digest: digest}, Services: []status.Service{row}},
	}
}

func migratingReplica(digest string) kube.Replica {
	return replicaOf("one", digest, status.Service{
		Phase: status.Migrating, Observed: new(10.0), ObservedRequests: 100, Split: status.Split{Since: time.Unix(1, 0), Share: 20, Requests: 100, New: 10},
		Old: status.Side{Rate: 9, Failed: 0, P50: 0.1, P99: 0.5}, New: status.Side{Rate: 1, Failed: 1, Rescued: 2},
	})
}

func fallenBackReplica() kube.Replica {
	return replicaOf("two", "other", status.Service{
		Phase: status.FallenBack, Reason: "five failures", Observed: new(40.0), ObservedRequests: 300,
		Split: status.Split{Since: time.Unix(2, 0), Share: 20, Requests: 300, New: 120},
		Old:   status.Side{Rate: 18, Failed: 0.5, P50: 0.4, P99: 0.2}, New: status.Side{Rate: 12, Rescued: 3},
	})
}

func TestFiguresAddUp(t *testing.T) {
	t.Parallel()
	table := load(t)
	silent := kube.Replica{Endpoint: kube.Endpoint{Pod: "zzz"}, Err: errors.New("no route")}
	document := clusterstatus.New([]kube.Replica{migratingReplica(table.Digest()), fallenBackReplica(), silent}, table, status.Cluster{})
	require.False(t, document.Config.InSync)
	require.Equal(t, "no route", document.Replicas[2].Error)
	shop, ok := document.Service("shop")
	require.True(t, ok)
	require.InDelta(t, 32.5, *shop.Observed, 0.001) // (10*10 + 40*30) / 40
	require.Equal(t, uint64(400), shop.ObservedRequests)
	require.Equal(t, status.Split{Since: time.Unix(2, 0), Share: 20, Requests: 400, New: 130}, shop.Split)
	require.InDelta(t, 27, shop.Old.Rate, 0.001)
	require.InDelta(t, 1.0/3, shop.Old.Failed, 0.001)
	require.InDelta(t, 0.3, shop.Old.P50, 0.001)
	require.InDelta(t, 0.5, shop.Old.P99, 0.001)
	require.Equal(t, uint64(5), shop.New.Rescued)
	require.Equal(t, status.FallenBack, shop.Phase)
	require.Equal(t, "five failures", shop.Reason)
	require.InDelta(t, 20, shop.Share, 0.001)
	require.Len(t, shop.Replicas, 2)
	_, ok = document.Service("shopp")
	require.False(t, ok)
}

// TestPhase: what the watcher has recorded counts, unless the phase of a replica
// is worse.
func TestPhase(t *testing.T) {
	t.Parallel()
	table := load(t)
	since := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	recorded := func(phase status.Phase, reason string) status.Cluster {
		return status.Cluster{Services: map[string]status.ClusterService{"shop": {Phase: phase, Reason: reason, Since: since}}}
	}
	migrating, fallenBack := []kube.Replica{migratingReplica(table.Digest())}, []kube.Replica{fallenBackReplica()}
	disabled := []kube.Replica{replicaOf("three", "", status.Service{Phase: status.Disabled})}
	for _, c := range []struct {
		replicas []kube.Replica
		state    status.Cluster
		phase    status.Phase
		reason   string
		since    *time.Time
	}{
		{migrating, status.Cluster{}, status.Migrating, "", nil},
		{migrating, recorded(status.Migrating, ""), status.Migrating, "", &since},
		{migrating, recorded(status.FallenBack, "half of them"), status.FallenBack, "half of them", &since},
		{fallenBack, recorded(status.Migrating, ""), status.FallenBack, "five failures", nil},
		{fallenBack, recorded(status.FallenBack, ""), status.FallenBack, "five failures", &since},
		{fallenBack, recorded(status.Bypassed, "nobody"), status.Bypassed, "nobody", &since},
		{migrating, status.Cluster{Paused: "uninstall"}, status.Bypassed, "paused: uninstall", nil},
		{disabled, status.Cluster{Paused: "uninstall"}, status.Disabled, "", nil},
		{nil, status.Cluster{}, status.Bypassed, "no replica serves it", nil},
	} {
		shop, _ := clusterstatus.New(c.replicas, table, c.state).Service("shop")
		require.Equal(t, c.phase, shop.Phase)
		require.Equal(t, c.reason, shop.Reason)
		require.Equal(t, c.since, shop.Since)
	}
}

// TestInSync: replicas that get no traffic do not count, whatever they serve.
func TestInSync(t *testing.T) {
	t.Parallel()
	table := load(t)
	replica := func(ready bool, digest string) kube.Replica {
		replica := replicaOf("one", digest, status.Service{})
		replica.Ready = ready
		return replica
	}
	serves, draining := replica(true, table.Digest()), replica(false, table.Digest())
	late, starting := replica(true, "other"), replica(false, "other")
	for _, c := range []struct {
		replicas []kube.Replica
		want     bool
	}{
		{nil, false},
		{[]kube.Replica{serves}, true},
		{[]kube.Replica{serves, draining, starting}, true},
		{[]kube.Replica{serves, late}, false},
		{[]kube.Replica{starting}, false},
		{[]kube.Replica{draining}, false},
	} {
		require.Equal(t, c.want, clusterstatus.New(c.replicas, table, status.Cluster{}).Config.InSync, "%v", c.replicas)
	}
	require.False(t, clusterstatus.New([]kube.Replica{serves}, nil, status.Cluster{}).Config.InSync, "without a valid config")
}

// TestServiceThatOnlyReplicasServe: a service that has left the config is shown
// as long as a replica serves it.
func TestServiceThatOnlyReplicasServe(t *testing.T) {
	t.Parallel()
	row := clusterstatus.ServiceRow([]kube.Replica{fallenBackReplica()}, status.Cluster{}, "shop")
	require.Equal(t, status.FallenBack, row.Phase)
	require.Equal(t, "shop.example.com", row.OldHost)
	require.Zero(t, clusterstatus.ServiceRow(nil, status.Cluster{}, "shop"))
}
