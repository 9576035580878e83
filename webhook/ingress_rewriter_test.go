package webhook

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

func backendOf(ingress *networkingv1.Ingress) string {
	return ingress.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name
}

func requireRewritten(t *testing.T, ingress *networkingv1.Ingress) {
	t.Helper()
	require.Equal(t, proxyOf(80), backendOf(ingress))
	require.Equal(t, "Migrating", ingress.Annotations[ingressgen.AnnotationPhase])
	require.NotEmpty(t, ingress.Annotations[ingressgen.AnnotationOriginal])
	require.Equal(t, "web", ingress.Annotations["team"])
}

// requireWaiting: the Ingress points where its user wrote, until the watcher
// switches it.
func requireWaiting(t *testing.T, ingress *networkingv1.Ingress) {
	t.Helper()
	require.Equal(t, "web", backendOf(ingress))
	require.Equal(t, "Bypassed", ingress.Annotations[ingressgen.AnnotationPhase])
	require.Equal(t, ingressgen.ReasonWaiting, ingress.Annotations[ingressgen.AnnotationReason])
}

// proxyOf is the proxy Service for a port of Service web.
func proxyOf(port int32) string {
	old := networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: port}}
	return ingressgen.ProxyService("", old, nil).Name
}

// switchToProxy points an Ingress at the proxy, as the watcher does.
func (s *installation) switchToProxy(t *testing.T, name string) *networkingv1.Ingress {
	t.Helper()
	config := plane.Config()
	config.Impersonate = rest.ImpersonationConfig{UserName: User(s.own, names.Webhook), Groups: []string{"system:masters"}}
	watcher, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	ingresses := watcher.NetworkingV1().Ingresses(s.apps)
	stored, err := ingresses.Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	reviewer, _ := s.admission.ingresses.reviewer.(*ingressRewriter)
	current := reviewer.cache.current.Load()
	report := ingressgen.Rewrite(stored, ingressgen.View{Table: current.table, State: current.state, Ports: httpPort{}})
	patch, err := json.Marshal(report.Edits)
	require.NoError(t, err)
	stored, err = ingresses.Patch(t.Context(), name, types.JSONPatchType, patch, metav1.PatchOptions{})
	require.NoError(t, err)
	return stored
}

// httpPort knows the port "http" of every Service.
type httpPort struct{}

// PortNumber implements ingressgen.PortLookup.
func (httpPort) PortNumber(_, name string) (int32, bool) { return 80, name == "http" }

// ExternalPort implements ingressgen.PortLookup.
func (httpPort) ExternalPort(string, int32) int32 { return 0 }

func (httpPort) Service(string) *corev1.Service { return nil }

// requireAsWritten: no annotation and no backend of the proxy is left.
func requireAsWritten(t *testing.T, ingress *networkingv1.Ingress) {
	t.Helper()
	require.Equal(t, "web", backendOf(ingress))
	require.False(t, ingressgen.Touched(ingress), ingress.Annotations)
}

// TestIngressStaysRewritten: an opted-in Ingress waits for the watcher. When that
// has pointed it at the proxy it is stored so, whatever request writes it. Without
// the opt-in it is stored as the user wrote it.
func TestIngressStaysRewritten(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	ingresses := s.NetworkingV1().Ingresses(s.apps)

	stored, err := ingresses.Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{})
	require.NoError(t, err)
	requireWaiting(t, stored)
	stored = s.switchToProxy(t, "api")
	requireRewritten(t, stored)

	again := stored.DeepCopy()
	again.Spec = ingress("api", "web", 80).Spec // the manifest is applied again by a replace
	again.Labels = map[string]string{"a": "b"}
	stored, err = ingresses.Update(t.Context(), again, metav1.UpdateOptions{})
	require.NoError(t, err)
	requireRewritten(t, stored)
	require.Equal(t, "b", stored.Labels["a"])

	patch := `{"spec":{"rules":[{"host":"api.example.com","http":{"paths":[{"path":"/","pathType":"Prefix","backend":{"service":{"name":"web","port":{"number":80}}}}]}}]}}`
	stored, err = ingresses.Patch(t.Context(), "api", types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{})
	require.NoError(t, err)
	requireRewritten(t, stored)

	out := stored.DeepCopy()
	delete(out.Annotations, ingressgen.AnnotationEnabled)
	stored, err = ingresses.Update(t.Context(), out, metav1.UpdateOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
	require.Empty(t, s.warnings.take())
}

// TestServerSideApply: the user's manifest is applied, applied again, changed, and
// opted out.
func TestServerSideApply(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	ingresses := s.NetworkingV1().Ingresses(s.apps)
	manifest := ingress("api", "web", 80)
	stored, err := apply(t.Context(), s, manifest)
	require.NoError(t, err)
	requireWaiting(t, stored)
	s.switchToProxy(t, "api")
	manifest.Annotations["more"] = "yes"
	stored, err = apply(t.Context(), s, manifest)
	require.NoError(t, err)
	requireRewritten(t, stored)
	require.Equal(t, "yes", stored.Annotations["more"])

	delete(manifest.Annotations, ingressgen.AnnotationEnabled)
	_, err = apply(t.Context(), s, manifest)
	require.NoError(t, err)
	stored, err = ingresses.Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
}

func apply(ctx context.Context, s *installation, manifest *networkingv1.Ingress) (*networkingv1.Ingress, error) {
	text, err := json.Marshal(manifest)
	if err != nil {
		return nil, err
	}
	return s.NetworkingV1().Ingresses(s.apps).Patch(ctx, manifest.Name, types.ApplyPatchType, text, metav1.PatchOptions{FieldManager: "user", Force: new(true)})
}

// TestOtherIngressesCostNoCall: the API server does not call the webhook for an
// Ingress that has not opted in, nor for one in the proxy's own namespace.
func TestOtherIngressesCostNoCall(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	before := s.count("ingress")
	for _, value := range []string{"", "false"} {
		plain := ingress("plain", "web", 80)
		plain.Annotations = map[string]string{ingressgen.AnnotationEnabled: value}
		if value == "" {
			plain.Annotations = nil
		}
		stored, err := s.NetworkingV1().Ingresses(s.apps).Create(t.Context(), plain, metav1.CreateOptions{})
		require.NoError(t, err)
		stored.Labels = map[string]string{"a": "b"}
		stored, err = s.NetworkingV1().Ingresses(s.apps).Update(t.Context(), stored, metav1.UpdateOptions{})
		require.NoError(t, err)
		requireAsWritten(t, stored)
		require.NoError(t, s.NetworkingV1().Ingresses(s.apps).Delete(t.Context(), "plain", metav1.DeleteOptions{}))
	}
	_, err := s.NetworkingV1().Ingresses(s.own).Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{})
	require.NoError(t, err)
	require.Equal(t, before, s.count("ingress"))
}

// TestUnknownOptInValue: a value that is neither true nor false causes a warning.
func TestUnknownOptInValue(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	before := s.count("ingress")
	plain := ingress("plain", "web", 80)
	plain.Annotations = map[string]string{ingressgen.AnnotationEnabled: "True"}
	stored, err := s.NetworkingV1().Ingresses(s.apps).Create(t.Context(), plain, metav1.CreateOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
	require.Equal(t, before+1, s.count("ingress"))
	require.Contains(t, strings.Join(s.warnings.take(), ""), `is "True", which does nothing; write true`)
}

// TestWatcherPasses: the watcher's own requests are not changed.
func TestWatcherPasses(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: names.Webhook}}
	_, err := s.CoreV1().ServiceAccounts(s.own).Create(t.Context(), account, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = s.RbacV1().ClusterRoleBindings().Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.own},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.own, Name: names.Webhook}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	config, err := plane.ServiceAccount(t.Context(), s.own, names.Webhook)
	require.NoError(t, err)
	watcher, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	before := s.count("ingress")
	stored, err := watcher.NetworkingV1().Ingresses(s.apps).Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
	require.Equal(t, before, s.count("ingress"))
}

// TestDryRun: a dry run gives the Ingress as it would be stored, and stores
// nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	ingresses := s.NetworkingV1().Ingresses(s.apps)
	dry, err := ingresses.Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	requireWaiting(t, dry)
	_, err = ingresses.Get(t.Context(), "api", metav1.GetOptions{})
	require.True(t, apierrors.IsNotFound(err))
}

// TestWarningsReachTheUser: the user's client gets the warnings.
func TestWarningsReachTheUser(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	_, err := s.NetworkingV1().Ingresses(s.apps).Create(t.Context(), ingress("api", "elsewhere", 80), metav1.CreateOptions{})
	require.NoError(t, err)
	warnings := s.warnings.take()
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], warningPrefix)
	require.Contains(t, warnings[0], "api.example.com")
}

// TestNamedPorts: named ports are looked up, once for several Ingresses.
func TestNamedPorts(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	_, err := s.CoreV1().Services(s.apps).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "admin", Port: 81}}},
	}, metav1.CreateOptions{})
	require.NoError(t, err)
	for name, want := range map[string]string{"http": ingressgen.ReasonWaiting, "admin": "no path belongs", "other": "no path belongs"} {
		named := ingress("api-"+name, "web", 0)
		named.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Name = name
		stored, err := s.NetworkingV1().Ingresses(s.apps).Create(t.Context(), named, metav1.CreateOptions{})
		require.NoError(t, err)
		require.Contains(t, stored.Annotations[ingressgen.AnnotationReason], want, name)
	}
	require.EqualValues(t, 1, s.serviceReads.Load())
}

// TestLostOriginalIsRestored: an Ingress that lost annotation original but still
// points at the proxy gets it back: somebody edited a copy of the rewritten Ingress
// and wrote it back.
func TestLostOriginalIsRestored(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	ingresses := s.NetworkingV1().Ingresses(s.apps)
	for _, optedIn := range []bool{true, false} {
		_, err := ingresses.Create(t.Context(), ingress("api", "web", 80), metav1.CreateOptions{})
		require.NoError(t, err)
		stored := s.switchToProxy(t, "api")
		requireRewritten(t, stored)
		original := stored.Annotations[ingressgen.AnnotationOriginal]
		stored.Annotations = nil
		if optedIn {
			stored.Annotations = map[string]string{ingressgen.AnnotationEnabled: "true", "team": "web"}
		}
		stored, err = ingresses.Update(t.Context(), stored, metav1.UpdateOptions{})
		require.NoError(t, err)
		if optedIn {
			requireRewritten(t, stored)
			require.JSONEq(t, original, stored.Annotations[ingressgen.AnnotationOriginal])
		} else {
			requireAsWritten(t, stored)
		}
		require.NoError(t, ingresses.Delete(t.Context(), "api", metav1.DeleteOptions{}))
	}
}

// TestUnreadableStoredIngress: without the stored Ingress nothing is pointed at the
// proxy.
func TestUnreadableStoredIngress(t *testing.T) {
	t.Parallel()
	cache := newCache()
	cache.takeConfig(configText(oneService))
	cache.takeState(configMap(map[string]string{status.ClusterKey: served}))
	ingresses := New(Options{Cache: cache, Log: quiet}).ingresses
	text, err := json.Marshal(ingress("api", "web", 80))
	require.NoError(t, err)
	request := admission.Request{}
	request.Namespace, request.Object.Raw, request.OldObject.Raw = "shop", text, []byte("{")
	made, err := ingresses.decide(t.Context(), request)
	require.NoError(t, err)
	require.Contains(t, string(made.response.Patch), ingressgen.ReasonWaiting)
	require.NotContains(t, string(made.response.Patch), "/spec/", "its backend stays")
}

// TestDecodeIgnoresTwoFields: nothing but status and managedFields is left out.
func TestDecodeIgnoresTwoFields(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/review.json")
	require.NoError(t, err)
	var review admissionv1.AdmissionReview
	require.NoError(t, json.Unmarshal(text, &review))
	var whole networkingv1.Ingress
	require.NoError(t, json.Unmarshal(review.Request.Object.Raw, &whole))
	require.NotEmpty(t, whole.ManagedFields)
	decoded, err := decodeIngress(review.Request.Object.Raw, "")
	require.NoError(t, err)
	whole.TypeMeta, whole.ManagedFields, whole.Status = metav1.TypeMeta{}, nil, networkingv1.IngressStatus{}
	require.Equal(t, &whole, decoded)
}
