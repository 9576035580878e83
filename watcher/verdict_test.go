package watcher_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// says is one replica in a case of the verdict: how it stands in the cluster,
// what it said of the service, and how many seconds ago.
type says struct {
	ready            bool
	phase            status.Phase // "": it does not serve it
	heard            float64      // < 0: never
	seen, readyUntil float64      // first seen; when it was ready last, if it is not
	started          float64      // 0: long ago
	trouble          string
}

func (s says) word(pod string) watcher.Word {
	ago := func(seconds float64) time.Time { return noon.Add(-time.Duration(seconds * float64(time.Second))) }
	word := watcher.Word{Endpoint: kube.Endpoint{Pod: pod, Ready: s.ready}, First: ago(s.seen), LastReady: ago(s.readyUntil), Trouble: s.trouble}
	if s.ready {
		word.LastReady = noon
	}
	if s.heard < 0 {
		return word
	}
	word.Heard = ago(s.heard)
	if s.started > 0 {
		word.Status.StartedAt = ago(s.started)
	}
	if s.phase != "" {
		word.Status.Services = []status.Service{{Name: "api", OldHost: "api.old.example", PathPrefix: "/", Phase: s.phase, Reason: "why"}}
	}
	return word
}

func table(t require.TestingT) *migration.Table {
	table, err := config.Load("test", []byte(servicesOf("app", map[string]int{"api": 20})))
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

func TestVerdict(t *testing.T) {
	t.Parallel()
	migrating, fallen := says{ready: true, phase: status.Migrating}, says{ready: true, phase: status.FallenBack}
	absent := says{ready: true}
	silent, mute := says{ready: true, heard: -1, seen: 9}, says{ready: true, heard: -1, seen: 11}
	stale, old := says{ready: true, phase: status.Migrating, heard: 9}, says{ready: true, phase: status.Migrating, heard: 11}
	blocked := says{ready: true, heard: -1, seen: 11, trouble: "timeout"}
	left, away := says{phase: status.Migrating, readyUntil: 1}, says{phase: status.Migrating, readyUntil: 3}
	cases := []struct {
		name   string
		before status.Phase
		says   []says
		want   status.Phase
		reason string
	}{
		{"served", "", []says{migrating}, status.Migrating, ""},
		{"no replica", "", nil, status.Bypassed, "no replica of the migration proxy is ready"},
		{"not served yet", "", []says{absent}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"served by one", status.Bypassed, []says{absent, migrating}, status.Bypassed, "not every ready replica of the migration proxy serves it yet"},
		{"served by all", status.Bypassed, []says{migrating, migrating}, status.Migrating, ""},
		{"no longer by all", status.Migrating, []says{absent, migrating}, status.Migrating, "before"},
		{"one lacks it after a fallback", status.FallenBack, []says{absent, migrating}, status.FallenBack, "before"},
		{"one of three fell back", status.Migrating, []says{fallen, migrating, migrating}, status.Migrating, "before"},
		{"half fell back", status.Migrating, []says{fallen, migrating}, status.FallenBack, "1 of 2 ready replicas fell back: pod-0: why"},
		{"half of those that serve it", status.Migrating, []says{fallen, migrating, absent, absent}, status.FallenBack, "1 of 2 ready replicas fell back: pod-0: why"},
		{"one of three still", status.FallenBack, []says{fallen, migrating, migrating}, status.FallenBack, "before"},
		{"recovering", status.FallenBack, []says{{ready: true, phase: status.Recovering}, migrating}, status.Migrating, ""},
		{"disabled by the user", status.FallenBack, []says{{ready: true, phase: status.Disabled}}, status.Migrating, ""},
		{"fallen back and gone", status.FallenBack, nil, status.FallenBack, "before"},
		{"fallen back, and one has not spoken", status.FallenBack, []says{migrating, silent}, status.FallenBack, "before"},
		{"a new leader that heard nobody", status.Migrating, []says{silent}, status.Migrating, "before"},
		{"nobody speaks", status.Migrating, []says{mute}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"nobody can be asked", status.Migrating, []says{blocked, blocked}, status.Bypassed, "2 ready replicas of the migration proxy cannot be asked: timeout; timeout"},
		{"one cannot be asked", status.Migrating, []says{blocked, absent}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"nobody spoke for 9 s", status.Migrating, []says{stale}, status.Migrating, "before"},
		{"nobody spoke for 11 s", status.Migrating, []says{old}, status.Bypassed, "no ready replica of the migration proxy serves it (yet)"},
		{"not ready for a second", status.Migrating, []says{left}, status.Migrating, "before"},
		{"not ready for a second, never served before", "", []says{left}, status.Bypassed, "no replica of the migration proxy is ready"},
		{"not ready for three", status.Migrating, []says{away}, status.Bypassed, "no replica of the migration proxy is ready"},
		{"who leaves has no voice beside who stays", status.Migrating, []says{{phase: status.FallenBack, readyUntil: 1}, migrating, migrating}, status.Migrating, "before"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var words []watcher.Word
			for i, one := range c.says {
				words = append(words, one.word(fmt.Sprintf("pod-%d", i)))
			}
			after := watcher.Verdict(table(t), words, before(c.before), noon).Services["api"]
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

// TestVerdictAfterReplacement: replicas that started after the fallback do not
// end it, until recovery_time (300 s) is over; one that lived through it does.
func TestVerdictAfterReplacement(t *testing.T) {
	t.Parallel()
	fresh, witness := says{ready: true, phase: status.Migrating, started: 5}, says{ready: true, phase: status.Migrating, started: 21}
	fallen := says{ready: true, phase: status.FallenBack, started: 5}
	require.Equal(t, 5*time.Minute, table(t).Service("api").Fallback.RecoveryTime)
	for _, c := range []struct {
		name string
		fell float64 // seconds ago
		says []says
		want status.Phase
	}{
		{"all replaced", 20, []says{fresh, fresh}, status.FallenBack},
		{"all replaced, a second before recovery_time is over", 299, []says{fresh, fresh}, status.FallenBack},
		{"all replaced, recovery_time is over", 300, []says{fresh, fresh}, status.Migrating},
		{"all replaced, and one has met the failure", 301, []says{fresh, fallen}, status.FallenBack},
		{"one lived through it", 20, []says{fresh, witness}, status.Migrating},
		{"one lived through it and is leaving", 20, []says{fresh, {phase: status.Migrating, readyUntil: 1, started: 21}}, status.FallenBack},
		{"one lived through it and does not serve it", 20, []says{fresh, {ready: true, started: 21}}, status.FallenBack},
		{"started in the same moment", 5, []says{fresh}, status.FallenBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var words []watcher.Word
			for i, one := range c.says {
				words = append(words, one.word(fmt.Sprintf("pod-%d", i)))
			}
			previous := before(status.FallenBack)
			service := previous.Services["api"]
			service.Since = noon.Add(-time.Duration(c.fell * float64(time.Second)))
			previous.Services["api"] = service
			require.Equal(t, c.want, watcher.Verdict(table(t), words, previous, noon).Services["api"].Phase)
		})
	}
}

// TestVerdictOfAnotherHost: what the replicas serve for the host before is not
// what the config wants now, and a trip of the host before is forgotten.
func TestVerdictOfAnotherHost(t *testing.T) {
	t.Parallel()
	previous := before(status.FallenBack)
	service := previous.Services["api"]
	service.Host = "api.older.example"
	previous.Services["api"] = service
	word := says{ready: true, phase: status.FallenBack}.word("pod")
	word.Status.Services[0].OldHost = "api.older.example"
	after := watcher.Verdict(table(t), []watcher.Word{word}, previous, noon)
	require.Equal(t, status.Bypassed, after.Services["api"].Phase)
}

func someWord(t *rapid.T, label string) watcher.Word {
	phases := []status.Phase{"", status.Disabled, status.Migrating, status.FallenBack, status.Recovering}
	return says{
		ready: rapid.Bool().Draw(t, label+" ready"), phase: rapid.SampledFrom(phases).Draw(t, label+" phase"),
		heard: rapid.Float64Range(-1, 12).Draw(t, label+" heard"), seen: rapid.Float64Range(0, 12).Draw(t, label+" seen"),
		readyUntil: rapid.Float64Range(0, 4).Draw(t, label+" ready until"),
	}.word(label)
}

// TestVerdictHolds, whatever the replicas say and said.
func TestVerdictHolds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var words []watcher.Word
		fresh, serving, fallen := 0, 0, 0
		for i := range rapid.IntRange(0, 5).Draw(t, "replicas") {
			word := someWord(t, fmt.Sprintf("pod-%d", i))
			words = append(words, word)
			if !word.Ready || word.Heard.IsZero() || noon.Sub(word.Heard) > 10*time.Second {
				continue
			}
			fresh++
			if len(word.Status.Services) > 0 {
				serving++
				if word.Status.Services[0].Phase == status.FallenBack {
					fallen++
				}
			}
		}
		previous := before(rapid.SampledFrom([]status.Phase{"", status.Migrating, status.FallenBack, status.Bypassed}).Draw(t, "before"))
		previous.Paused = "by a test"
		after := watcher.Verdict(table(t), words, previous, noon)
		is, was := after.Services["api"], previous.Services["api"]

		require.Equal(t, "by a test", after.Paused)
		require.Len(t, after.Services, 1, "every service of the table, and no other")
		require.Equal(t, is.Phase == status.Migrating && is != was, is.Reason == "", "a reason, unless new is tried")
		if serving > 0 {
			require.False(t, is.Phase == status.Bypassed && was.Phase == status.Migrating, "somebody serves it")
			require.False(t, is.Phase == status.Migrating && fallen*2 >= serving && fallen > 0, "half have fallen back")
		}
		if fallen == 0 {
			require.False(t, is.Phase == status.FallenBack && was.Phase != status.FallenBack, "nobody fell back")
		}
		if is.Phase == status.Migrating && was.Phase != status.Migrating {
			require.Positive(t, serving, "new is tried only where somebody serves it")
			require.Equal(t, fresh, serving, "and nobody else can be asked for it")
		}
		require.Equal(t, after, watcher.Verdict(table(t), words, after, noon), "what is decided stays, while nothing changes")
	})
}

// TestListen: words of replicas that are gone stay for a blip; a pod of the
// same name at another address is another replica.
func TestListen(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	replica := func(address string, err error) kube.Replica {
		r := kube.Replica{Endpoint: kube.Endpoint{Pod: "a", Ready: true}, Err: err}
		r.Status.Version = address
		return r
	}
	words := watcher.Listen(nil, []kube.Replica{replica("v1", nil)}, at(0))
	require.Equal(t, at(0), words[0].Heard)
	words = watcher.Listen(words, []kube.Replica{replica("", fmt.Errorf("away"))}, at(5))
	require.Equal(t, "v1", words[0].Status.Version, "the last word")
	require.Equal(t, at(0), words[0].Heard)
	require.Equal(t, at(0), words[0].First)
	require.Equal(t, at(5), words[0].LastReady)
	words = watcher.Listen(words, nil, at(7))
	require.Len(t, words, 1)
	require.False(t, words[0].Ready)
	require.Empty(t, watcher.Listen(words, nil, at(8)))
}
