package statusview

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/cli/clusterstatus"
	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

var noon = time.Date(2024, 1, 1, 12, 0, 0, 0, time.UTC)

func shop(phase status.Phase, reason string) status.Service {
	return status.Service{
		Name: "shop", OldHost: "shop.example.com", PathPrefix: "/", Strategy: "weight", Share: 20, Observed: new(19.84),
		Phase: phase, Reason: reason,
		Old: status.Side{Backend: "http://old:80", Rate: 80.25, Failed: 0.001, P50: 0.004, P99: 0.25},
		New: status.Side{Backend: "https://new:443", Rate: 19.9, Rescued: 3, Unresolved: "no such host"},
	}
}

// TestPages compares the whole pages with testdata/*.txt.
func TestPages(t *testing.T) {
	t.Parallel()
	ready := status.Config{Source: "c.yaml", Digest: "0123456789abcdef", Since: noon.Add(-5 * time.Minute)}
	nginx := status.Nginx{Version: "1.22.1", KnownHoles: []string{"CVE-2026-1642: plain text", "CVE-2026-42533: a buffer"}}
	replica := func(pod string, isReady bool, digest string) clusterstatus.Replica {
		return clusterstatus.Replica{Pod: pod, Ready: isReady, InSync: digest == ready.Digest, Version: "v1", Nginx: &nginx,
			Config: &status.Config{Source: "ns/cm", Digest: digest, Since: ready.Since}}
	}
	row := clusterstatus.Service{Service: shop(status.FallenBack, "five failures"), Replicas: []clusterstatus.ReplicaShare{
		{Pod: "one", Observed: new(10.0)}, {Pod: "two", Observed: new(40.0)},
	}}
	cluster := func(change func(*clusterstatus.Status)) clusterstatus.Status {
		document := clusterstatus.Status{
			Namespace: "ns", Now: noon,
			Config:   clusterstatus.Config{Source: "ns/cm", Digest: ready.Digest, InSync: true},
			Replicas: []clusterstatus.Replica{replica("one", true, ready.Digest), replica("two", true, ready.Digest)},
			Services: []clusterstatus.Service{row},
		}
		change(&document)
		return document
	}
	for name, p := range map[string]page{
		"proxy-ready":     proxyPage(status.Status{Ready: true, Now: noon, Config: ready, Nginx: nginx, Services: []status.Service{shop(status.Migrating, "")}}),
		"proxy-not-ready": proxyPage(status.Status{Now: noon, Nginx: status.Nginx{Version: "1.22.1", LastError: "bind failed"}}),
		"in-sync":         clusterPage(cluster(func(*clusterstatus.Status) {})),
		"not-in-sync": clusterPage(cluster(func(s *clusterstatus.Status) {
			s.Replicas = []clusterstatus.Replica{
				replica("one", true, ready.Digest), replica("two", true, "other"), replica("three", false, ""), {Pod: "zzz", Error: "no route"},
			}
		})),
		"no-replica": clusterPage(cluster(func(s *clusterstatus.Status) { s.Replicas, s.Paused = nil, "uninstall" })),
		"notes": clusterPage(cluster(func(s *clusterstatus.Status) {
			s.Config.Warnings = []string{"it is immutable"}
			s.Ingresses = status.Ingresses{Total: 52, Noted: []status.IngressNote{
				{Namespace: "shop", Name: "api", Phase: status.Bypassed, Text: "the API server refuses the write"},
				{Namespace: "shop", Name: "web", Text: "annotation enabled is yes, which does nothing"},
			}}
		})),
		"invalid": clusterPage(cluster(func(s *clusterstatus.Status) {
			s.Config = clusterstatus.Config{Source: "ns/cm", Problems: []string{"ns/cm:1:1: wrong", "ns/cm:2:1: wrong too"}}
		})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var text bytes.Buffer
			require.NoError(t, p.print(&text, false))
			text.WriteString("\n==== wide ====\n")
			require.NoError(t, p.print(&text, true))
			golden.Check(t, "testdata/"+name+".txt", text.Bytes())
		})
	}
}

func TestObservedOfManyReplicas(t *testing.T) {
	t.Parallel()
	var s clusterstatus.Service
	require.Equal(t, "-", observed(s))
	for _, share := range []float64{20, 19.5, 21, 20.5} {
		s.Replicas = append(s.Replicas, clusterstatus.ReplicaShare{Observed: new(share)})
	}
	require.Equal(t, "20.0% 19.5% 21.0% 20.5%", observed(s))
	s.Replicas = append(s.Replicas, clusterstatus.ReplicaShare{})
	require.Equal(t, "19.5%..21.0%", observed(s))
	s.Replicas, s.ObservedRequests = []clusterstatus.ReplicaShare{{Requests: 7}, {}}, 7
	require.Equal(t, "few", observed(s))
}

// TestDeviationIsAProblem: the line below the tables.
func TestDeviationIsAProblem(t *testing.T) {
	t.Parallel()
	service := status.Service{Name: "shop", Strategy: "weight", Share: 25, Phase: status.Migrating,
		Split: status.Split{Since: noon, Share: 25, Requests: 4000}}
	want := []string{"shop: observed 0.0 % of 4000 requests, 25 % wanted since " + noon.UTC().Format(time.RFC3339)}
	require.Equal(t, want, proxyPage(status.Status{Now: noon, Services: []status.Service{service}}).problems)
	require.Equal(t, want, clusterPage(clusterstatus.Status{
		Now: noon, Services: []clusterstatus.Service{{Service: service}}, Replicas: []clusterstatus.Replica{},
	}).problems[1:])
}

func TestLatency(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[float64]string{0: "-", 0.0042: "4.2ms", 0.01: "10ms", 1.5: "1500ms"} {
		require.Equal(t, want, latency(seconds))
	}
}

// TestRejectedConfig has the lines that depend on the local time zone.
func TestRejectedConfig(t *testing.T) {
	t.Parallel()
	rejected := &status.Rejected{At: noon, Stage: "test", Problems: []string{"no such file"}}
	at := noon.Local().Format(time.DateTime)
	p := proxyPage(status.Status{Config: status.Config{Rejected: rejected}})
	require.Equal(t, []string{"The newest config was rejected at " + at + " (test); the last good one stays in force:\nno such file"}, p.problems)

	replica := clusterstatus.Replica{Ready: true, Config: &status.Config{Digest: "old", Rejected: rejected}, Nginx: &status.Nginx{}}
	require.Equal(t, "rejected the config at "+at+" (test), serves old:\nno such file", replicaProblem(replica, clusterstatus.Config{Digest: "new"}))
}

// sourceFunc is a Source for tests.
type sourceFunc func() (document, error)

func (f sourceFunc) read(context.Context) (document, error) { return f() }

func TestFormats(t *testing.T) {
	t.Parallel()
	source := sourceFunc(func() (document, error) {
		return document{[]byte(`{"b":{"list":[1]},"a":"x"}`), page{headline: "head"}}, nil
	})
	for format, want := range map[Format]string{
		JSON:  "{\n  \"b\": {\n    \"list\": [\n      1\n    ]\n  },\n  \"a\": \"x\"\n}\n",
		YAML:  "b:\n  list:\n    - 1\na: x\n",
		Table: "head\n\nNAME  HOST  PATH  SHARE  OBSERVED  PHASE  RPS old/new  ERR old/new  P50 old/new  P99 old/new\n",
	} {
		var text bytes.Buffer
		require.NoError(t, Show(t.Context(), &text, source, format))
		require.Equal(t, want, text.String())
	}
}

// TestWatch: the status is printed every interval, also after a failure, until
// the user interrupts.
func TestWatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		reads := 0
		source := sourceFunc(func() (document, error) {
			reads++
			if reads == 1 {
				return document{}, errors.New("no proxy answers")
			}
			return document{json: []byte(`{"ready":true}`)}, nil
		})
		var text bytes.Buffer
		require.NoError(t, Watch(ctx, &text, source, JSON, 2*time.Second))
		require.Equal(t, 3, reads)
		require.Equal(t, "no proxy answers\n\n{\n  \"ready\": true\n}\n\n{\n  \"ready\": true\n}\n\n", text.String())
	})
}

// TestShareOfARamp: both numbers while they differ.
func TestShareOfARamp(t *testing.T) {
	t.Parallel()
	require.Equal(t, "5%", share(status.Service{Share: 5}))
	require.Equal(t, "5% (of 100%)", share(status.Service{Share: 5, Ramp: &status.Ramp{Ceiling: 100, Position: 5}}))
	require.Equal(t, "25%", share(status.Service{Share: 25, Ramp: &status.Ramp{Ceiling: 25, Position: 50}}))
}
