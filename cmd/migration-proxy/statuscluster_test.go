package main

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

const oneService = `services:
- {name: shop, old_host: shop.example.com, old_backend: 'a:80', new_host: b, new_backend: 'b:80', migration: {enabled: true, percentage: 20}}
`

// answering is a replica that serves shop with this row.
func answering(pod, digest string, row status.Service) kube.Replica {
	row.Name, row.OldHost, row.PathPrefix = "shop", "shop.example.com", "/"
	return kube.Replica{
		Endpoint: kube.Endpoint{Pod: pod, Ready: true},
		Status:   status.Status{StartedAt: time.Now(), Config: status.Config{Digest: digest}, Services: []status.Service{row}},
	}
}

func TestClusterStatusAddsUp(t *testing.T) {
	t.Parallel()
	table, err := config.Load("c", []byte(oneService))
	require.NoError(t, err)
	found := &installation{namespace: "ns", object: kube.NamedConfigMap{Namespace: "ns", Name: "cm"}}
	at := time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)
	one := answering("one", table.Digest(), status.Service{
		Phase: status.Migrating, Observed: new(10.0),
		Old: status.Side{Rate: 9, Failed: 0, P50: 0.1, P99: 0.5}, New: status.Side{Rate: 1, Failed: 1, Rescued: 2},
	})
	two := answering("two", "other", status.Service{
		Phase: status.FallenBack, Reason: "five failures", Observed: new(40.0),
		Old: status.Side{Rate: 18, Failed: 0.5, P50: 0.4, P99: 0.2}, New: status.Side{Rate: 12, Rescued: 3},
	})
	silent := kube.Replica{Endpoint: kube.Endpoint{Pod: "zzz"}, Err: errors.New("no route")}

	document := newClusterStatus(found, []kube.Replica{one, two, silent}, table, status.Cluster{})
	require.False(t, document.Config.InSync)
	shop := document.Services[0]
	require.InDelta(t, 32.5, *shop.Observed, 0.001) // (10*10 + 40*30) / 40
	require.InDelta(t, 27, shop.Old.Rate, 0.001)
	require.InDelta(t, 1.0/3, shop.Old.Failed, 0.001)
	require.InDelta(t, 0.3, shop.Old.P50, 0.001)
	require.InDelta(t, 0.5, shop.Old.P99, 0.001)
	require.Equal(t, uint64(5), shop.New.Rescued)
	require.Equal(t, status.FallenBack, shop.Phase)
	require.Equal(t, "five failures", shop.Reason)
	var out bytes.Buffer
	require.NoError(t, document.page().print(&out, true))
	require.Contains(t, out.String(), "2 of 3 replicas ready, 1 of them NOT IN SYNC with "+table.Digest()+" of ns/cm")
	require.Contains(t, out.String(), "10.0% 40.0%")
	require.Contains(t, out.String(), "two: still serves other")
	require.Contains(t, out.String(), "zzz: no route")

	// What the watcher says counts, unless a replica knows of worse.
	for _, c := range []struct {
		replicas []kube.Replica
		state    status.Cluster
		phase    status.Phase
		reason   string
	}{
		{[]kube.Replica{one}, status.Cluster{}, status.Migrating, ""},
		{[]kube.Replica{one}, verdict(status.FallenBack, "half of them", at), status.FallenBack, "half of them"},
		{[]kube.Replica{two}, verdict(status.Migrating, "", at), status.FallenBack, "five failures"},
		{[]kube.Replica{two}, verdict(status.Bypassed, "nobody", at), status.Bypassed, "nobody"},
		{[]kube.Replica{one}, status.Cluster{Paused: "uninstall"}, status.Bypassed, "paused: uninstall"},
		{nil, status.Cluster{}, status.Bypassed, "no replica serves it"},
	} {
		document := newClusterStatus(found, c.replicas, table, c.state)
		require.Equal(t, c.phase, document.Services[0].Phase)
		require.Equal(t, c.reason, document.Services[0].Reason)
	}
}

// TestInSync: those that get no traffic do not count, whatever they serve.
func TestInSync(t *testing.T) {
	t.Parallel()
	table, err := config.Load("c", []byte(oneService))
	require.NoError(t, err)
	found := &installation{}
	replica := func(ready bool, digest string) kube.Replica {
		one := answering("one", digest, status.Service{})
		one.Ready = ready
		return one
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
		require.Equal(t, c.want, newClusterStatus(found, c.replicas, table, status.Cluster{}).Config.InSync, "%v", c.replicas)
	}
}

func verdict(phase status.Phase, reason string, since time.Time) status.Cluster {
	return status.Cluster{Services: map[string]status.ClusterService{"shop": {Phase: phase, Reason: reason, Since: since}}}
}

func TestObservedOfManyReplicas(t *testing.T) {
	t.Parallel()
	var s serviceStatus
	require.Equal(t, "-", s.observed())
	for _, share := range []float64{20, 19.5, 21, 20.5} {
		s.Replicas = append(s.Replicas, replicaShares{Observed: new(share)})
	}
	require.Equal(t, "20.0% 19.5% 21.0% 20.5%", s.observed())
	s.Replicas = append(s.Replicas, replicaShares{})
	require.Equal(t, "19.5%..21.0%", s.observed())
}
