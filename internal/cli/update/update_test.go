package update

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const shop = `services:
- {name: shop, old_host: shop.example.com, old_backend: 'a:80', new_host: b, new_backend: 'b:80', migration: {enabled: true, percentage: 20}}
`

func planned(t *testing.T, value string) change {
	t.Helper()
	goal, err := ParseGoal("shop", value)
	require.NoError(t, err)
	made, err := plan(goal, "c.yaml", []byte(shop))
	require.NoError(t, err)
	return made
}

func TestParseGoalRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range [][3]string{{"Shop", "1", "is not a name"}, {"shop", "101", "a percentage goes from 0 to 100"}, {"shop", "of", "or write on or off"}} {
		_, err := ParseGoal(c[0], c[1])
		require.ErrorContains(t, err, c[2])
	}
}

func TestChangeAsText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"50": "shop: 20 % -> 50 %", "0.25%": "shop: 20 % -> 0.25 %", "off": "shop: on (20 %) -> off", "on": "shop: on (20 %) -> on (20 %)",
	} {
		require.Equal(t, want, planned(t, value).String())
	}
}

// TestNoteAboutThePhase: a change towards new has no effect while the service
// does not migrate; a change towards old has.
func TestNoteAboutThePhase(t *testing.T) {
	t.Parallel()
	fallenBack := status.Service{Phase: status.FallenBack, Reason: "five failures"}
	require.Equal(t, "note: the service is FallenBack: five failures\n", planned(t, "50").note(fallenBack))
	require.Empty(t, planned(t, "0").note(fallenBack))
	require.Empty(t, planned(t, "50").note(status.Service{Phase: status.Migrating}))
	require.Empty(t, planned(t, "50").note(status.Service{}))
}

// TestNoteAboutARamp: the percentage is only its ceiling, which a ramp that is there, or
// one that only advises, need not be told.
func TestNoteAboutARamp(t *testing.T) {
	t.Parallel()
	c := planned(t, "50")
	c.is.Ramp = &migration.Ramp{}
	now := status.Service{Phase: status.Migrating, Share: 5, Ramp: &status.Ramp{Ceiling: 50, Position: 5}}
	require.Contains(t, c.note(now), "the ceiling of a ramp, which goes there step by step and is at 5 %; 'migration-proxy ramp ")
	require.Contains(t, c.note(status.Service{}), "step by step; ")
	now.Share, now.Ramp.Position = 50, 50
	require.Empty(t, c.note(now))
	c.is.Ramp.Advise = true
	require.Empty(t, c.note(status.Service{}))
}

// TestNoteAboutADeviation: who changes a share learns that the one before had not
// the effect that it should have had.
func TestNoteAboutADeviation(t *testing.T) {
	t.Parallel()
	row := status.Service{Strategy: "weight", Phase: status.Migrating, Split: status.Split{Since: time.Unix(0, 0), Share: 25, Requests: 4000}}
	require.Equal(t, "note: the share is not what it should be: observed 0.0 % of 4000 requests, 25 % wanted since 1970-01-01T00:00:00Z\n",
		deviationNote(row, time.Now()))
	row.Split.New = 1000
	require.Empty(t, deviationNote(row, time.Now()))
}

// TestDivide: only ready replicas count; a rejection is final if it is new.
func TestDivide(t *testing.T) {
	t.Parallel()
	replica := func(pod string, ready bool, own status.Config, err error) kube.Replica {
		return kube.Replica{Endpoint: kube.Endpoint{Pod: pod, Ready: ready}, Status: status.Status{Config: own}, Err: err}
	}
	old, recent := &status.Rejected{At: time.Unix(1, 0)}, &status.Rejected{At: time.Unix(2, 0), Stage: "test", Problems: []string{"wrong"}}
	serving, missing := divide([]kube.Replica{
		replica("serves", true, status.Config{Digest: "new"}, nil),
		replica("starting", false, status.Config{}, nil),
		replica("silent", true, status.Config{}, errors.New("no route")),
		replica("late", true, status.Config{Digest: "old", Source: "ns/cm", Rejected: old}, nil),
		replica("rejects", true, status.Config{Digest: "old", Rejected: recent}, nil),
	}, "new", rejections{"late": old, "rejects": old})
	require.Len(t, serving, 1)
	require.Equal(t, "serves", serving[0].Pod)
	require.EqualError(t, errors.Join(missing...), "no route\nlate still serves old of ns/cm\nrejects rejected it (test):\nwrong")
	require.False(t, waiting.IsFinal(missing[1]))
	require.True(t, waiting.IsFinal(missing[2]))
}

// proxyServing is a proxy that serves the file, or rejects it.
func proxyServing(t *testing.T, file string, rejects bool) oneproxy.Proxy {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := status.Status{StartedAt: time.Unix(1, 0)}
		text, _ := os.ReadFile(file)
		table, err := config.Load(file, text)
		if err == nil {
			now.Config.Digest = table.Digest()
		}
		if rejects && string(text) != shop {
			now.Config = status.Config{Digest: "before", Rejected: &status.Rejected{At: time.Unix(2, 0), Stage: "test", Problems: []string{"wrong"}}}
		}
		_ = json.NewEncoder(w).Encode(now)
	}))
	t.Cleanup(server.Close)
	proxy, err := oneproxy.New(strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	return proxy
}

func TestInFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		rejects      bool
		options      Options
		output, says string
		changed      bool
	}{
		{"in force", false, Options{Timeout: time.Minute}, "shop: 20 % -> 50 %, in force after ", "", true},
		{"rejected", true, Options{Timeout: time.Minute}, "", "has the change, but it is not in force: the proxy rejected it (test):\nwrong", true},
		{"no wait", true, Options{NoWait: true}, "shop: 20 % -> 50 %, written to ", "", true},
		{"dry run", true, Options{DryRun: true}, "shop: 20 % -> 50 % would change; nothing was written\n", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "c.yaml")
			require.NoError(t, os.WriteFile(path, []byte(shop), 0o600))
			var output bytes.Buffer
			err := InFile(t.Context(), &output, planned(t, "50").goal, File{path, proxyServing(t, path, c.rejects)}, c.options)
			if c.says == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.says)
			}
			require.Contains(t, output.String(), c.output)
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, c.changed, strings.Contains(string(text), "percentage: 50"))
		})
	}
}

// TestNoteAboutRules: 0 % leaves the rules, which off does not.
func TestNoteAboutRules(t *testing.T) {
	t.Parallel()
	withRules := strings.Replace(shop, "percentage: 20}", "percentage: 20}, canary: {ip_rules: [{cidr: 10.0.0.0/8, target: new_cluster}]}", 1)
	for text, want := range map[string]string{
		withRules: "note: ip_rules[0] come before the percentage and send requests to new; 'migration-proxy update shop off' sends all to old\n",
		strings.Replace(withRules, "enabled: true", "enabled: false", 1): "",
	} {
		goal, err := ParseGoal("shop", "0")
		require.NoError(t, err)
		made, err := plan(goal, "c.yaml", []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, made.note(status.Service{}))
	}
}

// TestFollowConfig: the newest config is waited for as long as it has this
// change.
func TestFollowConfig(t *testing.T) {
	t.Parallel()
	changed := planned(t, "50")
	for text, says := range map[string]string{
		string(changed.after): "",
		string(changed.after) + "# somebody else's comment\n": "",
		shop: "somebody else has changed shop meanwhile",
		strings.Replace(string(changed.after), "name: shop", "name: shoe", 1): "somebody else has changed shop meanwhile",
		"services: [": "",
	} {
		client := fake.NewClientset(&corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: text},
		})
		served := servedByReplicas{in: installation.New(&kube.Cluster{Interface: client, Namespace: "ns"}), wanted: changed}
		err := served.followConfig(t.Context())
		if says == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, says)
		require.True(t, waiting.IsFinal(err))
	}
}
