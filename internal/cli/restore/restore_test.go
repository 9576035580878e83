package restore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// plane is the control plane of all tests of this package.
var plane *controlplane.ControlPlane

func TestMain(m *testing.M) {
	controllerDelay = 2 * time.Second
	os.Exit(controlplane.Main(m, controlplane.Options{}, &plane))
}

// policyTimeout is far above the second that the API server takes to compile a
// policy.
const policyTimeout = 30 * time.Second

// cluster has Ingresses that were rewritten, and neither webhook nor watcher.
// The tests run one after the other: restore --all is for the whole cluster.
type cluster struct {
	*testing.T
	*installation.Installation
	apps string // the namespace of the users' Ingresses
	view ingressgen.View
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	namespace, err := plane.Namespace(t.Context(), "own")
	require.NoError(t, err)
	connection, err := kube.Connect(kube.Connection{Kubeconfig: plane.Kubeconfig(), Namespace: namespace})
	require.NoError(t, err)
	c := &cluster{T: t, Installation: installation.New(connection)}
	c.apps, err = plane.Namespace(t.Context(), "apps")
	require.NoError(t, err)
	text, state := "services:\n", status.Cluster{Services: map[string]status.ClusterService{}}
	for name, mode := range map[string]string{"shop": "proxy", "blog": "canary"} {
		text += fmt.Sprintf("- {name: %[1]s, mode: %[3]s, old_host: %[1]s.example.com, old_backend: '%[1]s.%[2]s.svc:80', new_host: new.example.com, "+
			"new_backend: 'new.example.com:443', migration: {enabled: true, percentage: 20}}\n", name, c.apps, mode)
		state.Services[name] = status.ClusterService{Host: name + ".example.com", PathPrefix: "/", Phase: status.Migrating}
	}
	table, err := config.Load("test", []byte(text))
	require.NoError(t, err)
	c.view = ingressgen.View{Table: table, State: state}
	_, err = c.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.ConfigMap}, Data: map[string]string{names.ConfigKey: text},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	return c
}

// userIngress is an Ingress as its user writes it.
func userIngress(name, host string) *networkingv1.Ingress {
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

// rewrittenIngress creates an Ingress as its user writes it, and rewrites it.
func (c *cluster) rewrittenIngress(name string) (before *networkingv1.Ingress) {
	c.Helper()
	ingresses := c.NetworkingV1().Ingresses(c.apps)
	before, err := ingresses.Create(c.Context(), userIngress(name, name+".example.com"), metav1.CreateOptions{})
	require.NoError(c, err)
	c.Cleanup(func() { // restore --all of another test takes all namespaces
		require.NoError(c, ingresses.DeleteCollection(context.Background(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	})
	report := ingressgen.Rewrite(before, c.view)
	require.Equal(c, status.Migrating, report.Phase, "%v", report.Warnings)
	patch, err := json.Marshal(report.Edits)
	require.NoError(c, err)
	_, err = ingresses.Patch(c.Context(), name, types.JSONPatchType, patch, metav1.PatchOptions{})
	require.NoError(c, err)
	if report.Companion != nil {
		_, err = ingresses.Create(c.Context(), report.Companion, metav1.CreateOptions{})
		require.NoError(c, err)
	}
	return before
}

// shopBackend is the backend of Ingress shop.
var shopBackend = networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 80}}

// createGenerated creates the generated Services: those of the users' namespace, one for a
// companion of our own namespace, and beside it the chart's, which stays.
func (c *cluster) createGenerated() {
	c.Helper()
	companion := c.ingress("blog-migration")
	chart := ingressgen.ProxyService(c.Namespace, shopBackend, nil)
	chart.Name = names.ProxyService
	services := c.CoreV1().Services(c.Namespace)
	_, err := services.Create(c.Context(), chart, metav1.CreateOptions{})
	require.NoError(c, err)
	c.Cleanup(func() { _ = services.Delete(context.Background(), chart.Name, metav1.DeleteOptions{}) }) // or the next test removes it
	c.createService(ingressgen.ProxyService(c.apps, shopBackend, nil))
	_, err = c.NetworkingV1().Ingresses(c.apps).Create(c.Context(), ingressgen.Anchor(c.apps, shopBackend, ingressgen.ClassName{Name: "nginx"}), metav1.CreateOptions{})
	require.NoError(c, err)
	c.createService(ingressgen.CompanionService(companion))
	companion.Namespace, companion.OwnerReferences = c.Namespace, nil
	c.createService(ingressgen.CompanionService(companion))
}

// createService creates a Service and its slices.
func (c *cluster) createService(service *corev1.Service) {
	c.Helper()
	_, err := c.CoreV1().Services(service.Namespace).Create(c.Context(), service, metav1.CreateOptions{})
	require.NoError(c, err)
	for _, slice := range ingressgen.ProxySlices(service, []discoveryv1.EndpointSlice{{
		ObjectMeta: metav1.ObjectMeta{Name: "migration-proxy-x", Namespace: c.Namespace}, AddressType: discoveryv1.AddressTypeIPv4,
	}}) {
		_, err := c.DiscoveryV1().EndpointSlices(service.Namespace).Create(c.Context(), slice, metav1.CreateOptions{})
		require.NoError(c, err)
	}
}

func (c *cluster) ingress(name string) *networkingv1.Ingress {
	c.Helper()
	found, err := c.NetworkingV1().Ingresses(c.apps).Get(c.Context(), name, metav1.GetOptions{})
	require.NoError(c, err)
	return found
}

// one restores one Ingress, and gives the output.
func (c *cluster) one(name string) (string, error) {
	c.Helper()
	var output bytes.Buffer
	err := One(c.Context(), &output, c.Installation, types.NamespacedName{Namespace: c.apps, Name: name})
	return output.String(), err
}

// wantOne restores one Ingress, which must succeed.
func (c *cluster) wantOne(name string) string {
	c.Helper()
	output, err := c.one(name)
	require.NoError(c, err, output)
	return output
}

// wantAll restores all Ingresses, which must succeed.
func (c *cluster) wantAll() string {
	c.Helper()
	output, err := c.all()
	require.NoError(c, err, output)
	return output
}

// all restores all Ingresses, and gives the output.
func (c *cluster) all() (string, error) {
	c.Helper()
	var output bytes.Buffer
	err := All(c.Context(), &output, c.Installation, "a test")
	return output.String(), err
}

func (c *cluster) state() map[string]string {
	c.Helper()
	found, err := c.CoreV1().ConfigMaps(c.Namespace).Get(c.Context(), names.StateMap, metav1.GetOptions{})
	require.NoError(c, err)
	return found.Data
}

// recordState writes the cluster's state as the watcher does.
func (c *cluster) recordState(state status.Cluster) {
	c.Helper()
	text, err := state.Text()
	require.NoError(c, err)
	_, err = c.CoreV1().ConfigMaps(c.Namespace).Create(c.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: names.StateMap}, Data: map[string]string{status.ClusterKey: text},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
}

// TestRestoreOne: the Ingress is as the user wrote it but opted out, and its
// companion is deleted.
func TestRestoreOne(t *testing.T) {
	c := newCluster(t)
	for _, name := range []string{"shop", "blog"} {
		before := c.rewrittenIngress(name)
		require.True(t, ingressgen.Touched(c.ingress(name)))
		require.Contains(t, c.wantOne(name), "is as its user wrote it, and opted out")
		after := c.ingress(name)
		require.Equal(t, before.Spec, after.Spec)
		require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false", "team": "a"}, after.Annotations)
		require.Contains(t, c.wantOne(name), "nothing to restore")
	}
	_, err := c.NetworkingV1().Ingresses(c.apps).Get(t.Context(), "blog-migration", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
}

// TestRestoreAll: what was generated is deleted, and the Ingresses are as before
// they were rewritten.
func TestRestoreAll(t *testing.T) {
	c := newCluster(t)
	shop, blog := c.rewrittenIngress("shop"), c.rewrittenIngress("blog")
	c.createGenerated()
	c.recordState(status.Cluster{Services: c.view.State.Services})
	foreign := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "foreign"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
	}
	_, err := c.CoreV1().Services(c.apps).Create(t.Context(), foreign, metav1.CreateOptions{})
	require.NoError(t, err)

	require.Contains(t, c.wantAll(), "nothing of the proxy is left: 2 Ingresses restored and 8 generated objects removed")
	for _, before := range []*networkingv1.Ingress{shop, blog} {
		after := c.ingress(before.Name)
		require.Equal(t, before.Spec, after.Spec)
		require.Equal(t, before.Annotations, after.Annotations)
	}
	ingresses, err := c.NetworkingV1().Ingresses(c.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, ingresses.Items, 2)
	services, err := c.CoreV1().Services(c.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 1, "the user's")
	services, err = c.CoreV1().Services(c.Namespace).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 1, "the chart's")
	require.NotContains(t, c.state(), status.ClusterKey, "it named Services that are gone")
	require.Contains(t, c.state()[status.PausedKey], "restore --all")
	require.Contains(t, c.wantAll(), "0 Ingresses restored and 0 generated objects removed")
	state, err := c.State(t.Context())
	require.NoError(t, err)
	require.Contains(t, state.Paused, "'restore --all' by a test at ")

	var output bytes.Buffer
	require.NoError(t, Resume(t.Context(), &output, c.Installation))
	require.Contains(t, output.String(), "no longer paused")
	require.NotContains(t, c.state(), status.PausedKey)
}

// ingressPointedByHand creates an Ingress that a user points at the proxy: nothing
// says where it pointed before.
func (c *cluster) ingressPointedByHand(name, host string) {
	c.Helper()
	ingress := userIngress(name, host)
	ingress.Annotations = nil
	ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service = &networkingv1.IngressServiceBackend{
		Name: names.ProxyService, Port: networkingv1.ServiceBackendPort{Number: names.TrafficPort},
	}
	ingresses := c.NetworkingV1().Ingresses(c.apps)
	_, err := ingresses.Create(c.Context(), ingress, metav1.CreateOptions{})
	require.NoError(c, err)
	c.Cleanup(func() { _ = ingresses.Delete(context.Background(), name, metav1.DeleteOptions{}) }) // or no later test could restore all
}

// TestRestoreWithoutAnnotation: an Ingress that has lost annotation original is
// restored from the config; when that does not help, the error says what to do.
func TestRestoreWithoutAnnotation(t *testing.T) {
	c := newCluster(t)
	c.ingressPointedByHand("lost", "unknown.example.com")
	output, err := c.one("lost")
	require.ErrorContains(t, err, "nothing says what it pointed at before: set its backend yourself")
	require.NotContains(t, output, "as its user wrote it")

	c.ingressPointedByHand("shop", "shop.example.com")
	require.Contains(t, c.wantOne("shop"), "as its user wrote it")
	after := c.ingress("shop")
	require.Equal(t, "shop", after.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name)
	require.Equal(t, map[string]string{ingressgen.AnnotationEnabled: "false"}, after.Annotations)
}

// TestRestoreAllWithFailures: an Ingress that admission protects does not keep the others
// from being restored. The Services stay as long as it points at them. One that
// somebody pointed at the proxy by hand is left, with a warning.
func TestRestoreAllWithFailures(t *testing.T) {
	c := newCluster(t)
	c.ingressPointedByHand("aaa", "unknown.example.com")
	c.rewrittenIngress("blog")
	c.rewrittenIngress("shop")
	c.createGenerated()
	unprotect := c.protect("blog")
	require.Eventually(t, func() bool { // the API server compiles it after a moment
		_, err := c.NetworkingV1().Ingresses(c.apps).Patch(t.Context(), "blog", types.MergePatchType, []byte(`{}`),
			metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return apierrors.IsForbidden(err)
	}, policyTimeout, 50*time.Millisecond)

	_, err := c.all()
	require.ErrorContains(t, err, "paused; 1 Ingresses restored, but not these")
	require.NotContains(t, err.Error(), "/aaa")
	require.Equal(t, 1, strings.Count(err.Error(), "restore "+c.apps+"/blog: "), err)
	require.False(t, ingressgen.Touched(c.ingress("shop")))
	services, err := c.CoreV1().Services(c.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 2)

	unprotect()
	theirs := ingressgen.ProxyService(c.apps, shopBackend, nil)
	theirs.Name = "theirs"
	c.createService(theirs)
	require.Eventually(t, func() bool {
		output, err := c.all()
		return err == nil && strings.Contains(output, c.apps+"/aaa: ") && strings.Contains(output, "it is left as it is")
	}, policyTimeout, 50*time.Millisecond)
	services, err = c.CoreV1().Services(c.apps).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, services.Items, 1)
	require.Equal(t, "theirs", services.Items[0].Name, "a user's Service with our label stays")
	require.False(t, ingressgen.Touched(c.ingress("blog")))
}

// protect makes admission refuse every edit of one Ingress, until end is called.
func (c *cluster) protect(name string) (end func()) {
	c.Helper()
	own := name + "-" + c.apps
	policies := c.AdmissionregistrationV1()
	_, err := policies.ValidatingAdmissionPolicies().Create(c.Context(), &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: own},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": c.apps}},
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
					ResourceNames: []string{name},
					RuleWithOperations: admissionregistrationv1.RuleWithOperations{
						Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
						Rule:       admissionregistrationv1.Rule{APIGroups: []string{"networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"ingresses"}},
					},
				}},
			},
			Validations: []admissionregistrationv1.Validation{{Expression: "false", Message: "hands off", Reason: new(metav1.StatusReasonForbidden)}},
		},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
	bindings := policies.ValidatingAdmissionPolicyBindings()
	_, err = bindings.Create(c.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: own},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: own, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}, metav1.CreateOptions{})
	require.NoError(c, err)
	return func() { require.NoError(c, bindings.Delete(c.Context(), own, metav1.DeleteOptions{})) }
}

// TestRestoreAllWaitsForControllers also when a watcher has restored the
// Ingresses before. A user's object with our label stays.
func TestRestoreAllWaitsForControllers(t *testing.T) {
	c := newCluster(t)
	c.rewrittenIngress("blog")
	c.createGenerated()
	require.NoError(t, c.NetworkingV1().Ingresses(c.apps).Delete(t.Context(), "blog-migration", metav1.DeleteOptions{}))
	c.wantOne("blog")
	labeled := userIngress("theirs-migration", "theirs.example.com")
	labeled.Labels = map[string]string{names.ManagedByLabel: names.Manager}
	_, err := c.NetworkingV1().Ingresses(c.apps).Create(t.Context(), labeled, metav1.CreateOptions{})
	require.NoError(t, err)

	begun := time.Now()
	require.Contains(t, c.wantAll(), "0 Ingresses restored and 7 generated objects removed")
	require.Greater(t, time.Since(begun), controllerDelay)
	c.ingress("theirs-migration")
}
