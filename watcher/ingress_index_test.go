package watcher

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/reconcile"
)

var (
	hosts    = []string{"a.example", "b.example"}
	prefixes = []string{"/", "/x", "/x/y"}
	backends = []string{"one", "two"}
)

// drawState has services on few hosts and prefixes, so that they meet.
func drawState(t *rapid.T, label string) *desiredstate.State {
	text, state := "services:\n", status.Cluster{Services: map[string]status.ClusterService{}}
	taken, some := map[string]bool{}, false
	for i := range 4 {
		draw := func(what string) string { return fmt.Sprintf("%s %d %s", label, i, what) }
		host, prefix := rapid.SampledFrom(hosts).Draw(t, draw("host")), rapid.SampledFrom(prefixes).Draw(t, draw("prefix"))
		if taken[host+prefix] || some && rapid.Bool().Draw(t, draw("left out")) {
			continue
		}
		taken[host+prefix], some = true, true
		text += fmt.Sprintf("  - {name: s%d, old_host: %s, path_prefix: %s, old_backend: %q, new_host: n.example, new_backend: %q, migration: {enabled: %v, percentage: %d}}\n",
			i, host, prefix, rapid.SampledFrom(backends).Draw(t, draw("backend"))+".app.svc:80", "n.example:443",
			rapid.Bool().Draw(t, draw("enabled")), rapid.IntRange(0, 3).Draw(t, draw("share")))
		phase := rapid.SampledFrom([]status.Phase{status.Migrating, status.FallenBack, status.Bypassed, ""}).Draw(t, draw("phase"))
		if phase != "" {
			state.Services[fmt.Sprintf("s%d", i)] = status.ClusterService{Host: host, PathPrefix: prefix, Phase: phase, Reason: string(phase)}
		}
	}
	if rapid.IntRange(0, 9).Draw(t, label+" paused") == 0 {
		state.Paused = "by a test"
	}
	table, err := config.Load("test", []byte(text))
	require.NoError(t, err, text)
	return &desiredstate.State{Table: table, Cluster: state}
}

func drawIngress(t *rapid.T) *networkingv1.Ingress {
	ingress := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{
		Namespace: "app", Name: "api", Annotations: map[string]string{ingressgen.AnnotationEnabled: "true"},
	}}
	if rapid.Bool().Draw(t, "named") {
		ingress.Annotations[ingressgen.AnnotationService] = rapid.SampledFrom([]string{"s0", "s1", "s9"}).Draw(t, "service")
	}
	if rapid.Bool().Draw(t, "canary") {
		ingress.Annotations[ingressgen.AnnotationMode] = "canary"
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "rules") {
		prefix := networkingv1.PathTypePrefix
		path := networkingv1.HTTPIngressPath{Path: rapid.SampledFrom(prefixes).Draw(t, fmt.Sprint("path ", i)), PathType: &prefix}
		path.Backend.Service = &networkingv1.IngressServiceBackend{
			Name: rapid.SampledFrom(backends).Draw(t, fmt.Sprint("backend ", i)), Port: networkingv1.ServiceBackendPort{Number: 80},
		}
		rule := networkingv1.IngressRule{Host: rapid.SampledFrom(append(hosts, "c.example")).Draw(t, fmt.Sprint("host ", i))}
		rule.HTTP = &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{path}}
		ingress.Spec.Rules = append(ingress.Spec.Rules, rule)
	}
	return ingress
}

// TestAffectedIngresses: an Ingress for which two desired states give two
// reports is among those that the difference between the states affects.
func TestAffectedIngresses(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, after, ingress := drawState(t, "before"), drawState(t, "after"), drawIngress(t)
		first := ingressgen.Rewrite(ingress, before.View())
		second := ingressgen.Rewrite(ingress, after.View())
		index := newIngressIndex()
		index.put(reconcile.NewResult(ingress, first, 1))
		affected := index.affectedBy(desiredstate.Compare(before, after))
		if !reflect.DeepEqual(first, second) {
			require.Contains(t, affected, kube.KeyOf(ingress))
		}
		require.Empty(t, index.affectedBy(desiredstate.Compare(after, after)), "no difference affects no Ingress")
	})
}

// TestIndexRemoves: an Ingress that is gone is in no list any more.
func TestIndexRemoves(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		state, ingress := drawState(t, "state"), drawIngress(t)
		index := newIngressIndex()
		index.put(reconcile.NewResult(ingress, ingressgen.Rewrite(ingress, state.View()), 1))
		require.Len(t, index.ingresses, 1)
		index.put(reconcile.Result{Key: kube.KeyOf(ingress), Gone: true})
		require.Equal(t, newIngressIndex(), index)
	})
}

// TestNextUpdate: a burst is one update when it ends, and at least two a second;
// the first input after a quiet time is an update at once.
func TestNextUpdate(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	at := func(milliseconds int) time.Time { return began.Add(time.Duration(milliseconds) * time.Millisecond) }
	require.Equal(t, at(0), nextUpdate(at(0), time.Time{}))
	require.Equal(t, at(70), nextUpdate(at(20), at(0)))
	require.Equal(t, at(500), nextUpdate(at(480), at(0)))
	require.Equal(t, at(500), nextUpdate(at(500), at(0)))
	require.Equal(t, at(900), nextUpdate(at(900), at(0)))
}

// TestStateFits: the state fits into the ConfigMap when all of a new cluster
// with 5,000 services fails.
func TestStateFits(t *testing.T) {
	t.Parallel()
	state := status.Cluster{Services: map[string]status.ClusterService{}}
	for i := range 5000 {
		name := fmt.Sprintf("api-%d", i)
		state.Services[name] = status.ClusterService{
			Host: name + ".old.example", PathPrefix: "/", Phase: status.FallenBack, Reason: strings.Repeat("why ", 150), Since: time.Unix(1, 0).UTC(),
		}
	}
	text, err := formatCluster(state)
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), maxStateBytes)
	read, err := status.ParseCluster(map[string]string{status.ClusterKey: text})
	require.NoError(t, err)
	require.Len(t, read.Services, 5000)
	require.Equal(t, status.FallenBack, read.Services["api-7"].Phase)
	require.Contains(t, read.Services["api-7"].Reason, "why")
	few := status.Cluster{Services: map[string]status.ClusterService{"api-7": state.Services["api-7"]}}
	text, err = formatCluster(few)
	require.NoError(t, err)
	whole, err := few.Text()
	require.NoError(t, err)
	require.Equal(t, whole, text, "nothing is lost when there is room")
}

// TestDiffWithoutConfig: without a config nothing differs from one poll to the
// next.
func TestDiffWithoutConfig(t *testing.T) {
	t.Parallel()
	require.True(t, desiredstate.Compare(&desiredstate.State{}, &desiredstate.State{}).Empty())
	require.False(t, desiredstate.Compare(nil, &desiredstate.State{}).Empty())
}
