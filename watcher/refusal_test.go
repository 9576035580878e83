package watcher_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

// TestPolicyRefuses: a policy of the cluster refuses Ingresses with our backend.
// The Ingress stays as its user wrote it, with the true reason in annotation and
// Event, and is rewritten when it may be.
func TestPolicyRefuses(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	lift := env.createPolicy("object.spec.rules.all(r, r.http.paths.all(p, !p.backend.service.name.startsWith('migration-proxy')))")
	env.createIngress(env.newIngress("api"))
	env.startWatcher()
	found := env.waitForPhase("api", status.Bypassed, "api")
	require.Contains(t, found.Annotations[ingressgen.AnnotationReason], "only own backends here")
	note := env.waitForEvent(env.app, "api", events.WriteRefused).Note
	require.Contains(t, note, "only own backends here")
	require.Equal(t, note, env.waitForNote("api").Text, "status says what the Event says")
	env.waitForQuiet()

	env.annotate("api", "mine", `"edited"`)
	env.waitForQuiet()
	found = env.waitForPhase("api", status.Bypassed, "api")
	require.Equal(t, "edited", found.Annotations["mine"], "the user's own writes pass")

	lift()
	env.eventually(func() bool { // the API server needs a moment to forget the policy
		env.annotate("api", "mine", `"`+time.Now().String()+`"`)
		return backendOf(env.getIngress("api")) == proxyOf("api")
	}, "it is rewritten after the next edit")
	env.waitForPhase("api", status.Migrating, proxyOf("api"))
	env.eventually(func() bool { return len(env.notes()) == 0 }, "there is nothing to note any more")
}

// TestPolicyRefusesAll: not even the reason can be written on the Ingress. Event and
// status have it.
func TestPolicyRefusesAll(t *testing.T) {
	env := newTestEnv(t, 1)
	env.writeConfig(env.servicesConfig(map[string]int{"api": 20}))
	env.createIngress(env.newIngress("api"))
	env.createPolicy("false")
	env.startWatcher()
	note := env.waitForEvent(env.app, "api", events.WriteRefused).Note
	require.Contains(t, note, "only own backends here")
	require.Equal(t, status.IngressNote{Namespace: env.app, Name: "api", Phase: status.Bypassed, Text: note}, env.waitForNote("api"))
	require.Empty(t, env.getIngress("api").Annotations[ingressgen.AnnotationPhase])
}

// notes are those about the Ingresses of the test's namespace.
func (env *testEnv) notes() []status.IngressNote {
	env.Helper()
	found, err := env.client.CoreV1().ConfigMaps(env.home).Get(env.Context(), names.StateMap, metav1.GetOptions{})
	require.NoError(env, err)
	ingresses, err := status.ParseIngresses(found.Data)
	require.NoError(env, err)
	return slices.DeleteFunc(ingresses.Noted, func(note status.IngressNote) bool { return note.Namespace != env.app })
}

func (env *testEnv) waitForNote(name string) (note status.IngressNote) {
	env.Helper()
	env.eventually(func() bool {
		for _, note = range env.notes() {
			if note.Name == name {
				return true
			}
		}
		return false
	}, "a note about Ingress %s", name)
	return note
}

// createPolicy refuses writes of Ingresses in the application's namespace for
// which the CEL expression is false, from the moment when it returns.
func (env *testEnv) createPolicy(expression string) (lift func()) {
	env.Helper()
	name, fail := env.app, admissionregistrationv1.Fail
	client := env.client.AdmissionregistrationV1()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail,
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": env.app}},
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{"networking.k8s.io"}, APIVersions: []string{"v1"}, Resources: []string{"ingresses"}},
				}}},
			},
			Validations: []admissionregistrationv1.Validation{{Expression: expression, Message: "only own backends here"}},
		},
	}
	_, err := client.ValidatingAdmissionPolicies().Create(env.Context(), policy, metav1.CreateOptions{})
	require.NoError(env, err)
	_, err = client.ValidatingAdmissionPolicyBindings().Create(env.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}, metav1.CreateOptions{})
	require.NoError(env, err)
	probe := env.newIngress("probe")
	probe.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Name = proxyOf("api")
	env.eventually(func() bool {
		_, err := env.client.NetworkingV1().Ingresses(env.app).Create(env.Context(), probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil
	}, "the policy is in force")
	lift = func() {
		_ = client.ValidatingAdmissionPolicyBindings().Delete(context.Background(), name, metav1.DeleteOptions{})
		_ = client.ValidatingAdmissionPolicies().Delete(context.Background(), name, metav1.DeleteOptions{})
	}
	env.Cleanup(lift)
	return lift
}
