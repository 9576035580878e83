package servicestate_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// report is one replica in a case: its endpoint, what it reported of the
// service, and how many seconds ago.
type report struct {
	ready            bool
	phase            status.Phase // "": it does not serve the service
	answered         float64      // < 0: never
	seen, readyUntil float64      // first seen; last ready, if it is not ready
	started          float64      // 0: long ago
	lastError        string
}

func (r report) replica(pod string) servicestate.ReplicaStatus {
	ago := func(seconds float64) time.Time { return noon.Add(-time.Duration(seconds * float64(time.Second))) }
	replica := servicestate.ReplicaStatus{Endpoint: kube.Endpoint{Pod: pod, Ready: r.ready}, FirstSeen: ago(r.seen), LastReady: ago(r.readyUntil), LastError: r.lastError}
	if r.ready {
		replica.LastReady = noon
	}
	if r.answered < 0 {
		return replica
	}
	replica.LastAnswer = ago(r.answered)
	if r.started > 0 {
		replica.Status.StartedAt = ago(r.started)
	}
	if r.phase != "" {
		replica.Status.Services = []status.Service{{Name: "api", OldHost: "api.old.example", PathPrefix: "/", Phase: r.phase, Reason: "why"}}
	}
	return replica
}

// servicesText is a migration config with service api.
func servicesText(share int) string {
	return fmt.Sprintf("services:\n- {name: api, old_host: api.old.example, old_backend: 'api.app.svc:80', "+
		"new_host: n.example, new_backend: 'n.example:443', migration: {enabled: true, percentage: %d}}\n", share)
}

func table(t require.TestingT) *migration.Table {
	table, err := config.Load("test", []byte(servicesText(20)))
	require.NoError(t, err)
	return table
}

func before(phase status.Phase) status.Cluster {
	if phase == "" {
		return status.Cluster{}
	}
	return status.Cluster{Services: map[string]status.ClusterService{"api": {
		Host: "api.old.example", PathPrefix: "/", Phase: phase, Reason: "before", Since: noon.Add(-time.Hour),
	}}}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	migrating, fallen := report{ready: true, phase: status.Migrating}, report{ready: true, phase: status.FallenBack}
	absent := report{ready: true}
	starting, silent := report{ready: true, answered: -1, seen: 9}, report{ready: true, answered: -1, seen: 11}
	stale, old := report{ready: true, phase: status.Migrating, answered: 9}, report{ready: true, phase: status.Migrating, answered: 11}
	unreachable := report{ready: true, answered: -1, seen: 11, lastError: "timeout"}
	flapping, gone := report{phase: status.Migrating, readyUntil: 1}, report{phase: status.Migrating, readyUntil: 3}
	cases := []struct {
		name    string
		before  status.Phase
		reports []report
		want    status.Phase
		reason  string
	}{
		{"served", "", []report{migrating}, status.Migrating, ""},
		{"no replica at all", "", nil, status.Bypassed, "no replica of the migration proxy is ready"},
		{"not served yet", "", []report{absent}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"served by one", status.Bypassed, []report{absent, migrating}, status.Bypassed, "not every ready replica of the migration proxy serves it yet"},
		{"served by all", status.Bypassed, []report{migrating, migrating}, status.Migrating, ""},
		{"no longer by all", status.Migrating, []report{absent, migrating}, status.Migrating, "before"},
		{"one lacks it after a fallback", status.FallenBack, []report{absent, migrating}, status.FallenBack, "before"},
		{"one of three fell back", status.Migrating, []report{fallen, migrating, migrating}, status.Migrating, "before"},
		{"half fell back", status.Migrating, []report{fallen, migrating}, status.FallenBack, "1 of 2 ready replicas fell back: pod-0: why"},
		{"half of those that serve it", status.Migrating, []report{fallen, migrating, absent, absent}, status.FallenBack, "1 of 2 ready replicas fell back: pod-0: why"},
		{"one of three still", status.FallenBack, []report{fallen, migrating, migrating}, status.FallenBack, "before"},
		{"recovering", status.FallenBack, []report{{ready: true, phase: status.Recovering}, migrating}, status.Migrating, ""},
		{"disabled by the user", status.FallenBack, []report{{ready: true, phase: status.Disabled}}, status.Migrating, ""},
		{"fallen back and gone", status.FallenBack, nil, status.FallenBack, "before"},
		{"fallen back, and one has not answered yet", status.FallenBack, []report{migrating, starting}, status.FallenBack, "before"},
		{"a new leader that has no answer yet", status.Migrating, []report{starting}, status.Migrating, "before"},
		{"no replica answers", status.Migrating, []report{silent}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"no status can be fetched", status.Migrating, []report{unreachable, unreachable}, status.Bypassed, "the status of 2 ready replicas of the migration proxy cannot be fetched: timeout; timeout"},
		{"one status cannot be fetched", status.Migrating, []report{unreachable, absent}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"no answer for 9 s", status.Migrating, []report{stale}, status.Migrating, "before"},
		{"no answer for 11 s", status.Migrating, []report{old}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"not ready for a second", status.Migrating, []report{flapping}, status.Migrating, "before"},
		{"not ready for a second, never served before", "", []report{flapping}, status.Bypassed, "no replica of the migration proxy is ready"},
		{"one that never served it is not ready for a second", status.Migrating, []report{{readyUntil: 1}}, status.Bypassed, "no replica of the migration proxy is ready"},
		{"an error since an answer that counts", status.Migrating, []report{{ready: true, answered: 9, lastError: "timeout"}}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"not ready for three", status.Migrating, []report{gone}, status.Bypassed, "no replica of the migration proxy is ready"},
		{"a replica that is not ready any more does not count beside ready ones", status.Migrating, []report{{phase: status.FallenBack, readyUntil: 1}, migrating, migrating}, status.Migrating, "before"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var replicas []servicestate.ReplicaStatus
			for i, reported := range c.reports {
				replicas = append(replicas, reported.replica(fmt.Sprintf("pod-%d", i)))
			}
			after := servicestate.Resolve(table(t), replicas, before(c.before), noon).Services["api"]
			require.Equal(t, c.want, after.Phase)
			require.Equal(t, c.reason, after.Reason)
			if c.want == c.before {
				require.Equal(t, noon.Add(-time.Hour), after.Since)
			} else {
				require.Equal(t, noon, after.Since)
			}
		})
	}
}

// TestResolveAfterReplacement: replicas that started after the fallback do not
// end it until recovery_time (300 s) is over; one that was running before does.
func TestResolveAfterReplacement(t *testing.T) {
	t.Parallel()
	fresh, witness := report{ready: true, phase: status.Migrating, started: 5}, report{ready: true, phase: status.Migrating, started: 21}
	fallen := report{ready: true, phase: status.FallenBack, started: 5}
	require.Equal(t, 5*time.Minute, table(t).Service("api").Fallback.RecoveryTime)
	for _, c := range []struct {
		name    string
		fell    float64 // seconds ago
		reports []report
		want    status.Phase
	}{
		{"all replaced", 20, []report{fresh, fresh}, status.FallenBack},
		{"all replaced, a second before recovery_time is over", 299, []report{fresh, fresh}, status.FallenBack},
		{"all replaced, recovery_time is over", 300, []report{fresh, fresh}, status.Migrating},
		{"all replaced, and one has met the failure", 301, []report{fresh, fallen}, status.FallenBack},
		{"one was running at the fallback", 20, []report{fresh, witness}, status.Migrating},
		{"one was running at the fallback and is leaving", 20, []report{fresh, {phase: status.Migrating, readyUntil: 1, started: 21}}, status.FallenBack},
		{"one was running at the fallback and does not serve it", 20, []report{fresh, {ready: true, started: 21}}, status.FallenBack},
		{"started in the same moment", 5, []report{fresh}, status.FallenBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var replicas []servicestate.ReplicaStatus
			for i, reported := range c.reports {
				replicas = append(replicas, reported.replica(fmt.Sprintf("pod-%d", i)))
			}
			previous := before(status.FallenBack)
			service := previous.Services["api"]
			service.Since = noon.Add(-time.Duration(c.fell * float64(time.Second)))
			previous.Services["api"] = service
			require.Equal(t, c.want, servicestate.Resolve(table(t), replicas, previous, noon).Services["api"].Phase)
		})
	}
}

// TestResolveOfAnotherHost: replicas that serve the service for its previous
// host do not count, and a fallback of the previous host is forgotten.
func TestResolveOfAnotherHost(t *testing.T) {
	t.Parallel()
	previous := before(status.FallenBack)
	service := previous.Services["api"]
	service.Host = "api.older.example"
	previous.Services["api"] = service
	replica := report{ready: true, phase: status.FallenBack}.replica("pod")
	replica.Status.Services[0].OldHost = "api.older.example"
	after := servicestate.Resolve(table(t), []servicestate.ReplicaStatus{replica}, previous, noon)
	require.Equal(t, status.Bypassed, after.Services["api"].Phase)
}

func someReplica(t *rapid.T, label string) servicestate.ReplicaStatus {
	phases := []status.Phase{"", status.Disabled, status.Migrating, status.FallenBack, status.Recovering}
	return report{
		ready: rapid.Bool().Draw(t, label+" ready"), phase: rapid.SampledFrom(phases).Draw(t, label+" phase"),
		answered: rapid.Float64Range(-1, 12).Draw(t, label+" heard"), seen: rapid.Float64Range(0, 12).Draw(t, label+" seen"),
		readyUntil: rapid.Float64Range(0, 4).Draw(t, label+" ready until"),
	}.replica(label)
}

// TestResolveHolds tests what holds for all replicas and all states before.
func TestResolveHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var replicas []servicestate.ReplicaStatus
		answering, serving, fallen := 0, 0, 0
		for i := range rapid.IntRange(0, 5).Draw(t, "replicas") {
			replica := someReplica(t, fmt.Sprintf("pod-%d", i))
			replicas = append(replicas, replica)
			if !replica.Ready || replica.LastAnswer.IsZero() || noon.Sub(replica.LastAnswer) > 10*time.Second {
				continue
			}
			answering++
			if len(replica.Status.Services) > 0 {
				serving++
				if replica.Status.Services[0].Phase == status.FallenBack {
					fallen++
				}
			}
		}
		previous := before(rapid.SampledFrom([]status.Phase{"", status.Migrating, status.FallenBack, status.Bypassed}).Draw(t, "before"))
		previous.Paused = "by a test"
		after := servicestate.Resolve(table(t), replicas, previous, noon)
		current, last := after.Services["api"], previous.Services["api"]

		require.Equal(t, "by a test", after.Paused)
		require.Len(t, after.Services, 1, "every service of the table, and no other")
		require.Equal(t, current.Phase == status.Migrating && current != last, current.Reason == "", "every state but Migrating has a reason")
		if serving > 0 {
			require.False(t, current.Phase == status.Bypassed && last.Phase == status.Migrating, "a replica serves it")
			require.False(t, current.Phase == status.Migrating && fallen*2 >= serving && fallen > 0, "half have fallen back")
		}
		if fallen == 0 {
			require.False(t, current.Phase == status.FallenBack && last.Phase != status.FallenBack, "no replica fell back")
		}
		if current.Phase == status.Migrating && last.Phase != status.Migrating {
			require.Positive(t, serving, "new is tried only where a replica serves it")
			require.Equal(t, answering, serving, "and no other ready replica lacks it")
		}
		require.Equal(t, after, servicestate.Resolve(table(t), replicas, after, noon), "the state stays while nothing changes")
	})
}

// TestMergeStatuses: replicas of replicas that are gone stay for a blip; a pod of the
// same name at another address is another replica.
func TestMergeStatuses(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	replica := func(address string, err error) kube.Replica {
		r := kube.Replica{Endpoint: kube.Endpoint{Pod: "a", Ready: true}, Err: err}
		r.Status.Version = address
		return r
	}
	replicas := servicestate.MergeStatuses(nil, []kube.Replica{replica("v1", nil)}, at(0))
	require.Equal(t, at(0), replicas[0].LastAnswer)
	replicas = servicestate.MergeStatuses(replicas, []kube.Replica{replica("", fmt.Errorf("away"))}, at(5))
	require.Equal(t, "v1", replicas[0].Status.Version, "the last answer stays")
	require.Equal(t, at(0), replicas[0].LastAnswer)
	require.Equal(t, at(0), replicas[0].FirstSeen)
	require.Equal(t, at(5), replicas[0].LastReady)
	replicas = servicestate.MergeStatuses(replicas, nil, at(7))
	require.Len(t, replicas, 1)
	require.False(t, replicas[0].Ready)
	require.Empty(t, servicestate.MergeStatuses(replicas, nil, at(8)))
}

// TestMergeStatusesOfAnotherReplica: a pod of the same name at another address
// is another replica, which has not answered yet.
func TestMergeStatusesOfAnotherReplica(t *testing.T) {
	t.Parallel()
	at := func(address string, err error) []kube.Replica {
		return []kube.Replica{{Endpoint: kube.Endpoint{Pod: "a", Address: netip.MustParseAddrPort(address), Ready: true}, Err: err}}
	}
	known := servicestate.MergeStatuses(nil, at("10.0.0.1:8080", nil), noon)
	later := noon.Add(time.Second)
	same := servicestate.MergeStatuses(known, at("10.0.0.1:8080", errors.New("timeout")), later)
	require.Equal(t, noon, same[0].LastAnswer)
	another := servicestate.MergeStatuses(known, at("10.0.0.2:8080", errors.New("timeout")), later)
	require.Len(t, another, 1)
	require.Zero(t, another[0].LastAnswer)
	require.Equal(t, later, another[0].FirstSeen)
}

// TestLastError is the first error of a ready replica since its last answer.
func TestLastError(t *testing.T) {
	t.Parallel()
	var known []servicestate.ReplicaStatus
	for _, step := range []struct {
		ready bool
		err   error
		want  string
	}{
		{false, errors.New("starting"), ""},
		{true, errors.New("timeout on port 1"), "timeout on port 1"},
		{true, errors.New("timeout on port 2"), "timeout on port 1"},
		{true, nil, ""},
		{true, errors.New("no route"), "no route"},
		{false, errors.New("no route"), ""},
	} {
		endpoint := kube.Endpoint{Pod: "a", Ready: step.ready}
		known = servicestate.MergeStatuses(known, []kube.Replica{{Endpoint: endpoint, Err: step.err}}, noon)
		require.Equal(t, step.want, known[0].LastError)
		require.Equal(t, step.want, servicestate.LastErrorOf(known, endpoint))
	}
}

const headerAlone = "percentage: 100, strategy: header}, canary: {header_rules: [{header: X-A, value: new, target: new_cluster}]}"

// TestResolveWithoutOld: a replica that has never found an address of old
// would answer 502 where the Ingress works. With addresses from before it
// serves the service, and at 100 % nothing depends on old.
func TestResolveWithoutOld(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		share int
		rules string // YAML in place of "percentage: 100}"
		old   status.Side
		want  status.Phase
	}{
		{"never resolved", 20, "", status.Side{Unresolved: "no such host"}, status.Bypassed},
		{"resolved before", 20, "", status.Side{Unresolved: "no such host", Addresses: []string{"10.0.0.1:80"}}, status.Migrating},
		{"never resolved and not needed", 100, "", status.Side{Unresolved: "no such host"}, status.Migrating},
		{"never resolved, and only rules lead to new", 100, headerAlone, status.Side{Unresolved: "no such host"}, status.Bypassed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := servicesText(c.share)
			if c.rules != "" {
				text = strings.Replace(text, "percentage: 100}", c.rules, 1)
			}
			table, err := config.Load("test", []byte(text))
			require.NoError(t, err)
			replica := report{ready: true, phase: status.Migrating}.replica("a")
			replica.Status.Services[0].Old = c.old
			after := servicestate.Resolve(table, []servicestate.ReplicaStatus{replica}, status.Cluster{}, noon)
			require.Equal(t, c.want, after.Services["api"].Phase)
		})
	}
}
