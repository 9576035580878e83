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
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

var (
	hosts    = []string{"a.example", "b.example"}
	prefixes = []string{"/", "/x", "/x/y"}
	backends = []string{"one", "two"}
)

// someView has services on few hosts and prefixes, so that they meet.
func someView(t *rapid.T, label string) *view {
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
	return &view{table: table, state: state}
}

func someIngress(t *rapid.T) *networkingv1.Ingress {
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

// TestFindsAllThatChange: an Ingress for which two views give two reports is
// among those that the change between the views concerns.
func TestFindsAllThatChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		before, after, ingress := someView(t, "before"), someView(t, "after"), someIngress(t)
		first := ingressgen.Rewrite(ingress, before.ingressgen())
		second := ingressgen.Rewrite(ingress, after.ingressgen())
		index := newIndex()
		index.put(outcomeOf(ingress, first, 1))
		found := index.find(changed(before, after))
		if !reflect.DeepEqual(first, second) {
			require.Contains(t, found, keyOf(ingress))
		}
		require.Empty(t, index.find(changed(after, after)), "no change concerns nobody")
	})
}

// TestIndexForgets: what is gone is in no list any more.
func TestIndexForgets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		view, ingress := someView(t, "view"), someIngress(t)
		index := newIndex()
		index.put(outcomeOf(ingress, ingressgen.Rewrite(ingress, view.ingressgen()), 1))
		require.Len(t, index.outcomes, 1)
		index.put(outcome{key: keyOf(ingress), gone: true})
		require.Equal(t, newIndex(), index)
	})
}

// TestDue: a burst is looked at when it ends, and at least twice a second; the
// first change after a quiet time at once.
func TestDue(t *testing.T) {
	t.Parallel()
	began := time.Unix(1000, 0)
	at := func(milliseconds int) time.Time { return began.Add(time.Duration(milliseconds) * time.Millisecond) }
	require.Equal(t, at(0), due(at(0), time.Time{}))
	require.Equal(t, at(70), due(at(20), at(0)))
	require.Equal(t, at(500), due(at(480), at(0)))
	require.Equal(t, at(500), due(at(500), at(0)))
	require.Equal(t, at(900), due(at(900), at(0)))
}

// TestGivenBack, without an API server: see TestServerSideApply for why.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, text string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: "networking.k8s.io/v1", FieldsV1: metav1.NewFieldsV1(text)}
	}
	apply, update := metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	theirs := entry("gitops", apply, `{"f:metadata":{"f:annotations":{".":{},"f:a":{}}},"f:spec":{"f:rules":{}}}`)
	left := entry("gitops", apply, `{"f:metadata":{"f:annotations":{".":{},"f:a":{}}}}`)
	ours := entry(names.Manager, update, `{"f:metadata":{"f:annotations":{".":{},"f:ours":{}}},"f:spec":{"f:rules":{}}}`)
	wanted, taken, err := givenBack([]metav1.ManagedFieldsEntry{theirs}, []metav1.ManagedFieldsEntry{left, ours})
	require.NoError(t, err)
	require.True(t, taken)
	require.Equal(t, []metav1.ManagedFieldsEntry{
		theirs, entry(names.Manager, update, `{"f:metadata":{"f:annotations":{".":{},"f:ours":{}}}}`),
	}, wanted)

	all := entry(names.Manager, update, `{"f:spec":{"f:rules":{}}}`)
	rules := entry("gitops", apply, `{"f:spec":{"f:rules":{}}}`)
	wanted, taken, err = givenBack([]metav1.ManagedFieldsEntry{rules}, []metav1.ManagedFieldsEntry{all})
	require.NoError(t, err)
	require.True(t, taken)
	require.Equal(t, []metav1.ManagedFieldsEntry{rules}, wanted, "an entry that lost all comes back, ours goes")

	_, taken, err = givenBack([]metav1.ManagedFieldsEntry{entry("kubectl", update, `{"f:spec":{"f:rules":{}}}`)}, []metav1.ManagedFieldsEntry{ours})
	require.NoError(t, err)
	require.False(t, taken, "nobody applied")
	_, taken, err = givenBack([]metav1.ManagedFieldsEntry{left}, []metav1.ManagedFieldsEntry{left, ours})
	require.NoError(t, err)
	require.False(t, taken, "that both have annotations is no loss")
}

// TestTheStateFits, also when all of a new cluster with 5,000 services fails.
func TestTheStateFits(t *testing.T) {
	t.Parallel()
	state := status.Cluster{Services: map[string]status.ClusterService{}}
	for i := range 5000 {
		name := fmt.Sprintf("api-%d", i)
		state.Services[name] = status.ClusterService{
			Host: name + ".old.example", PathPrefix: "/", Phase: status.FallenBack, Reason: strings.Repeat("why ", 150), Since: time.Unix(1, 0).UTC(),
		}
	}
	text, err := fitting(state)
	require.NoError(t, err)
	require.LessOrEqual(t, len(text), mostBytes)
	read, err := status.ParseCluster(map[string]string{status.ClusterKey: text})
	require.NoError(t, err)
	require.Len(t, read.Services, 5000)
	require.Equal(t, status.FallenBack, read.Services["api-7"].Phase)
	require.Contains(t, read.Services["api-7"].Reason, "why")
	few := status.Cluster{Services: map[string]status.ClusterService{"api-7": state.Services["api-7"]}}
	text, err = fitting(few)
	require.NoError(t, err)
	whole, err := few.Text()
	require.NoError(t, err)
	require.Equal(t, whole, text, "nothing is lost when there is room")
}

// TestNothingChanges while there is no config, from one second to the next.
func TestNothingChanges(t *testing.T) {
	t.Parallel()
	require.True(t, changed(&view{}, &view{}).empty())
	require.False(t, changed(nil, &view{}).empty())
}

// TestGivenBackToTwo: two who apply may own the same field.
func TestGivenBackToTwo(t *testing.T) {
	t.Parallel()
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, fields string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsV1: metav1.NewFieldsV1(fields)}
	}
	before := []metav1.ManagedFieldsEntry{
		entry("one", metav1.ManagedFieldsOperationApply, `{"f:spec":{"f:rules":{}}}`),
		entry("two", metav1.ManagedFieldsOperationApply, `{"f:metadata":{"f:labels":{}},"f:spec":{"f:rules":{}}}`),
	}
	after := []metav1.ManagedFieldsEntry{
		entry("two", metav1.ManagedFieldsOperationApply, `{"f:metadata":{"f:labels":{}}}`),
		entry(names.Manager, metav1.ManagedFieldsOperationUpdate, `{"f:spec":{"f:rules":{}}}`),
	}
	wanted, taken, err := givenBack(before, after)
	require.NoError(t, err)
	require.True(t, taken)
	require.ElementsMatch(t, before, wanted)
}
