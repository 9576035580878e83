package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// migrating is a cluster in which Ingresses were rewritten, with no webhook or
// watcher left. Its tests run one after the other: restore --all is for the
// whole cluster.
type migrating struct {
	*testing.T
	*site
	apps string // the namespace of the users' Ingresses
	view ingressgen.View
}

func newMigrating(t *testing.T) *migrating {
	t.Helper()
	s := testSite(t)
	apps, err := s.plane.Namespace(t.Context(), "apps")
	require.NoError(t, err)
	m := &migrating{T: t, site: s, apps: apps}
	text, state := "services:\n", status.Cluster{Services: map[string]status.ClusterService{}}
	for name, mode := range map[string]string{"shop": "proxy", "blog": "canary"} {
		text += fmt.Sprintf("- {name: %[1]s, mode: %[3]s, old_host: %[1]s.example.com, old_backend: '%[1]s.%[2]s.svc:80', new_host: new.example.com, "+
			"new_backend: 'new.example.com:443', migration: {enabled: true, percentage: 20}}\n", name, apps, mode)
		state.Services[name] = status.ClusterService{Host: name + ".example.com", PathPrefix: "/", Phase: status.Migrating}
	}
	table, err := config.Load("test", []byte(text))
	require.NoError(t, err)
	m.view = ingressgen.View{Table: table, State: state, CreatesService: true}
	require.NoError(t, s.write(t.Context(), text))
	return m
}

// written is an Ingress as its user writes it.
func written(name, host string) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{ingressgen.AnnotationEnabled: "true", "team": "a"}},
		Spec: networkingv1.IngressSpec{IngressClassName: new("nginx"), Rules: []networkingv1.IngressRule{{
			Host: host,
			IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", PathType: new(networkingv1.PathTypePrefix),
				Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}},
			}}}},
		}}},
	}
}

// opted creates an Ingress as its user writes it, and rewrites it.
func (m *migrating) opted(name string) (before *networkingv1.Ingress) {
	m.Helper()
	ingresses := m.client.NetworkingV1().Ingresses(m.apps)
	before, err := ingresses.Create(m.Context(), written(name, name+".example.com"), metav1.CreateOptions{})
	require.NoError(m, err)
	report := ingressgen.Rewrite(before, m.view)
	require.Equal(m, status.Migrating, report.Phase, "%v", report.Warnings)
	patch, err := json.Marshal(report.Edits)
	require.NoError(m, err)
	_, err = ingresses.Patch(m.Context(), name, types.JSONPatchType, patch, metav1.PatchOptions{})
	require.NoError(m, err)
	if report.Companion != nil {
		_, err = ingresses.Create(m.Context(), report.Companion, metav1.CreateOptions{})
		require.NoError(m, err)
	}
	return before
}

// generate makes our Services: those of the users' namespace, one for a
// companion of our own namespace, and beside it the chart's, which stays.
func (m *migrating) generate() {
	m.Helper()
	companion := m.get("blog-migration")
	chart := ingressgen.ProxyService(m.namespace)
	services := m.client.CoreV1().Services(m.namespace)
	_, err := services.Create(m.Context(), chart, metav1.CreateOptions{})
	require.NoError(m, err)
	m.Cleanup(func() { _ = services.Delete(context.Background(), chart.Name, metav1.DeleteOptions{}) }) // or the next test removes it
	m.provide(ingressgen.ProxyService(m.apps))
	m.provide(ingressgen.CompanionService(companion))
	companion.Namespace, companion.OwnerReferences = m.namespace, nil
	m.provide(ingressgen.CompanionService(companion))
}

// provide makes a Service and its slices.
func (m *migrating) provide(service *corev1.Service) {
	m.Helper()
	_, err := m.client.CoreV1().Services(service.Namespace).Create(m.Context(), service, metav1.CreateOptions{})
	require.NoError(m, err)
	for _, slice := range ingressgen.ProxySlices(service, []discoveryv1.EndpointSlice{{
		ObjectMeta: metav1.ObjectMeta{Name: "migration-proxy-x", Namespace: m.namespace}, AddressType: discoveryv1.AddressTypeIPv4,
	}}) {
		_, err := m.client.DiscoveryV1().EndpointSlices(service.Namespace).Create(m.Context(), slice, metav1.CreateOptions{})
		require.NoError(m, err)
	}
}

func (m *migrating) get(name string) *networkingv1.Ingress {
	m.Helper()
	found, err := m.client.NetworkingV1().Ingresses(m.apps).Get(m.Context(), name, metav1.GetOptions{})
	require.NoError(m, err)
	return found
}

// cli runs a command as a user would.
func (m *migrating) cli(args ...string) string {
	m.Helper()
	output, err := m.try(args...)
	require.NoError(m, err, output)
	return output
}

// refused is cli for what must fail.
func (m *migrating) refused(args ...string) string {
	m.Helper()
	output, err := m.try(args...)
	require.Error(m, err, output)
	return output
}

func (m *migrating) state() map[string]string {
	m.Helper()
	found, err := m.client.CoreV1().ConfigMaps(m.namespace).Get(m.Context(), names.StateMap, metav1.GetOptions{})
	require.NoError(m, err)
	return found.Data
}

// record writes the cluster's state as the watcher does.
func (m *migrating) record(state status.Cluster) {
	m.Helper()
	text, err := state.Text()
	require.NoError(m, err)
	_, err = m.client.CoreV1().ConfigMaps(m.namespace).Create(m.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}, Data: map[string]string{status.ClusterKey: text},
	}, metav1.CreateOptions{})
	require.NoError(m, err)
}

// TestRestoreOne: as the user wrote it, but opted out; the companion goes.
func TestRestoreOne(t *testing.T) {
	m := newMigrating(t)
	for _, name := range []string{"shop", "blog"} {
		before := m.opted(name)
		require.True(t, ingressgen.Touched(m.get(name)))
		require.Contains(t, m.cli("restore", m.apps+"/"+name), "is as its user wrote it, and opted out")
		after := m.get(name)
		require.Equal(t, before.Spec, after.Spec)
		require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false", "team": "a"}, after.Annotations)
		require.Contains(t, m.cli("restore", m.apps+"/"+name), "nothing to restore")
	}
	_, err := m.client.NetworkingV1().Ingresses(m.apps).Get(t.Context(), "blog-migration", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
}

// TestRestoreAll leaves nothing of ours, and what had opted in as it was.
func TestRestoreAll(t *testing.T) {
	m := newMigrating(t)
	shop, blog := m.opted("shop"), m.opted("blog")
	m.generate()
	m.record(status.Cluster{Namespaces: []string{m.apps}})
	foreign := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "foreign"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := m.client.CoreV1().Services(m.apps).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)

	require.Contains(t, m.cli("restore", "--all"), "nothing of ours is left: 2 Ingresses restored and 7 generated objects removed")
	for _, before := range []*networkingv1.Ingress{shop, blog} {
		after := m.get(before.Name)
		require.Equal(t, before.Spec, after.Spec)
		require.Equal(t, before.Annotations, after.Annotations)
	}
	ingresses, err := m.client.NetworkingV1().Ingresses(m.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, ingresses.Items, 2)
	services, err := m.client.CoreV1().Services(m.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 1, "somebody else's")
	services, err = m.client.CoreV1().Services(m.namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 1, "the chart's")
	require.NotContains(t, m.state(), status.ClusterKey, "it named Services that are gone")
	require.Contains(t, m.state()[status.PausedKey], "restore --all")
	require.Contains(t, m.cli("restore", "--all"), "0 Ingresses restored and 0 generated objects removed")
	require.Contains(t, m.cli("status"), "Paused, no Ingress is rewritten")

	require.Contains(t, m.cli("restore", "--resume"), "no longer paused")
	require.NotContains(t, m.state(), status.PausedKey)
}

// lose points an Ingress at the proxy by hand: nobody knows where it pointed
// before.
func (m *migrating) lose(name, host string) {
	m.Helper()
	ingress := written(name, host)
	ingress.Annotations = nil
	ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service = &networkingv1.IngressServiceBackend{
		Name: names.ProxyService, Port: networkingv1.ServiceBackendPort{Number: names.TrafficPort},
	}
	ingresses := m.client.NetworkingV1().Ingresses(m.apps)
	_, err := ingresses.Create(m.Context(), ingress, metav1.CreateOptions{})
	require.NoError(m, err)
	m.Cleanup(func() { _ = ingresses.Delete(context.Background(), name, metav1.DeleteOptions{}) }) // or no later test could restore all
}

// TestRestoreOneThatIsLost: it says so, and what the config knows it takes.
func TestRestoreOneThatIsLost(t *testing.T) {
	m := newMigrating(t)
	m.lose("lost", "unknown.example.com")
	output := m.refused("restore", m.apps+"/lost")
	require.Contains(t, output, "nothing says what it pointed at before: set its backend yourself")
	require.NotContains(t, output, "as its user wrote it")

	m.lose("shop", "shop.example.com")
	require.Contains(t, m.cli("restore", m.apps+"/shop"), "as its user wrote it")
	after := m.get("shop")
	require.Equal(t, "shop", after.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name)
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false"}, after.Annotations)
}

// TestRestoreAllGoesOn: neither an Ingress that cannot be restored nor one
// that somebody else protects keeps the others from going back. The Services
// stay as long as something points at them.
func TestRestoreAllGoesOn(t *testing.T) {
	m := newMigrating(t)
	m.lose("aaa", "unknown.example.com")
	m.opted("blog")
	m.opted("shop")
	m.generate()
	unprotect := m.protect("blog")
	require.Eventually(t, func() bool { // the API server compiles it by and by
		_, err := m.client.NetworkingV1().Ingresses(m.apps).Patch(t.Context(), "blog", types.MergePatchType, []byte(`{}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsForbidden(err)
	}, patienceOfPolicies, 50*time.Millisecond)

	output := m.refused("restore", "--all")
	require.Contains(t, output, "paused; 1 Ingresses restored, but not these")
	require.Equal(t, 1, strings.Count(output, "restore "+m.apps+"/aaa: "), output)
	require.Equal(t, 1, strings.Count(output, "restore "+m.apps+"/blog: "), output)
	require.False(t, ingressgen.Touched(m.get("shop")))
	services, err := m.client.CoreV1().Services(m.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 2)

	unprotect()
	require.NoError(t, m.client.NetworkingV1().Ingresses(m.apps).Delete(t.Context(), "aaa", metav1.DeleteOptions{}))
	require.Eventually(t, func() bool {
		output, err = m.try("restore", "--all")
		return err == nil
	}, patienceOfPolicies, 50*time.Millisecond)
	require.False(t, ingressgen.Touched(m.get("blog")))
}

// protect refuses every edit of one Ingress, until it is told to end.
func (m *migrating) protect(name string) (end func()) {
	m.Helper()
	own := name + "-" + m.apps
	policies := m.client.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Create(m.Context(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: own},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": m.apps}},
				ResourceRules: []admissionv1.NamedRuleWithOperations{{
					ResourceNames: []string{name},
					RuleWithOperations: admissionv1.RuleWithOperations{
						Operations: []admissionv1.OperationType{admissionv1.Update},
						Rule:       admissionv1.Rule{APIGroups: []string{"networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"ingresses"}},
					},
				}},
			},
			Validations: []admissionv1.Validation{{Expression: "false", Message: "hands off", Reason: new(metav1.StatusReasonForbidden)}},
		},
	}, metav1.CreateOptions{})
	require.NoError(m, err)
	bindings := policies.ValidatingAdmissionPolicyBindings()
	_, err = bindings.Create(m.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: own},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: own, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}, metav1.CreateOptions{})
	require.NoError(m, err)
	return func() { require.NoError(m, bindings.Delete(m.Context(), own, metav1.DeleteOptions{})) }
}

// TestRestoreAllGivesNotice: ingress controllers get their time also when a
// watcher has restored the Ingresses before this command looked at them. What
// somebody else gave our label stays.
func TestRestoreAllGivesNotice(t *testing.T) {
	m := newMigrating(t)
	m.opted("blog")
	m.generate()
	require.NoError(t, m.client.NetworkingV1().Ingresses(m.apps).Delete(t.Context(), "blog-migration", metav1.DeleteOptions{}))
	m.cli("restore", m.apps+"/blog")
	labelled := written("theirs-migration", "theirs.example.com")
	labelled.Labels = map[string]string{names.ManagedByLabel: names.Manager}
	_, err := m.client.NetworkingV1().Ingresses(m.apps).Create(t.Context(), labelled, metav1.CreateOptions{})
	require.NoError(t, err)

	begun := time.Now()
	require.Contains(t, m.cli("restore", "--all"), "0 Ingresses restored and 6 generated objects removed")
	require.Greater(t, time.Since(begun), notice)
	m.get("theirs-migration")
}
