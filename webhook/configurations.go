package webhook

import (
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// The paths that the API server calls.
const (
	PathIngress = "/ingress"
	PathConfig  = "/config"
)

// The names of the webhooks, as error messages and the API server's metrics
// call them.
const (
	NameIngress  = "ingress." + names.Group
	NameConfig   = "config." + names.Group
	NameDeletion = "config-deletion." + names.Group
)

const (
	namespaceName = "kubernetes.io/metadata.name" // a label that the API server sets
	// annotationInject tells cert-manager's injector which Certificate's CA
	// belongs into caBundle.
	annotationInject = "cert-manager.io/inject-ca-from"
)

// How long the API server waits for us. An Ingress must not wait long for a
// migration tool; reading a config of 5,000 services takes about 0.2 s.
const (
	ingressTimeout = 2 // seconds
	configTimeout  = 5
)

// Install is what the registration depends on.
type Install struct {
	Namespace string // ours
	CABundle  []byte // PEM; empty when cert-manager fills it in
	// InjectFrom is the cert-manager Certificate, NAMESPACE/NAME, whose CA the
	// injector fills in. Empty: nobody does, CABundle counts.
	InjectFrom string
}

// User is the name by which the API server knows a service account of ours.
func User(namespace, serviceAccount string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", namespace, serviceAccount)
}

// Configurations are the objects that make the API server call us: for
// opted-in Ingresses, and for the migration ConfigMap of our own namespace.
func Configurations(install Install) (*admissionregistrationv1.MutatingWebhookConfiguration, *admissionregistrationv1.ValidatingWebhookConfiguration) {
	mutating := &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   typeMeta("MutatingWebhookConfiguration"),
		ObjectMeta: install.meta(),
		Webhooks:   []admissionregistrationv1.MutatingWebhook{install.ingresses()},
	}
	validating := &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   typeMeta("ValidatingWebhookConfiguration"),
		ObjectMeta: install.meta(),
		Webhooks:   []admissionregistrationv1.ValidatingWebhook{install.config(), install.deletion()},
	}
	return mutating, validating
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: kind}
}

func (i Install) meta() metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: names.Webhook, Labels: map[string]string{names.ManagedByLabel: names.Manager}}
	if i.InjectFrom != "" {
		meta.Annotations = map[string]string{annotationInject: i.InjectFrom}
	}
	return meta
}

// ingresses: opted in now or before. It fails open. Called again when another
// webhook changed the Ingress after us; called for a dry run, for it changes
// nothing besides its answer.
func (i Install) ingresses() admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name:                    NameIngress,
		ClientConfig:            i.client(PathIngress),
		Rules:                   rules("networking.k8s.io", "ingresses", admissionregistrationv1.Create, admissionregistrationv1.Update),
		FailurePolicy:           new(admissionregistrationv1.Ignore),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       selector(metav1.LabelSelectorOpNotIn, "kube-system", i.Namespace),
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          new(int32(ingressTimeout)),
		AdmissionReviewVersions: []string{"v1"},
		ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
		MatchConditions:         i.ingressConditions(),
	}
}

// ingressConditions are evaluated by the API server: an Ingress that has
// nothing to do with us costs no call; one with another word than true or false
// is told so. An Ingress that is being deleted stays as it is. The watcher knows a newer state than we do.
func (i Install) ingressConditions() []admissionregistrationv1.MatchCondition {
	const optedIn = `(has(%[1]s.metadata.annotations) && '` + ingressgen.AnnotationEnabled +
		`' in %[1]s.metadata.annotations && %[1]s.metadata.annotations['` + ingressgen.AnnotationEnabled + `'] != 'false')`
	return []admissionregistrationv1.MatchCondition{
		{
			Name:       "opted-in-now-or-before",
			Expression: fmt.Sprintf(optedIn, "object") + " || (oldObject != null && " + fmt.Sprintf(optedIn, "oldObject") + ")",
		},
		{Name: "not-being-deleted", Expression: notBeingDeleted},
		{
			Name:       "not-by-the-watcher",
			Expression: fmt.Sprintf("request.userInfo.username != '%s'", User(i.Namespace, names.Webhook)),
		},
	}
}

const notBeingDeleted = "!has(object.metadata.deletionTimestamp)"

// config fails closed: without us, nobody would tell that a config is bad. It
// is asked about the ConfigMap that the proxies read, labelled or not, and
// about labelled ones.
func (i Install) config() admissionregistrationv1.ValidatingWebhook {
	hook := i.configMaps()
	hook.Name = NameConfig
	hook.Rules = rules("", "configmaps", admissionregistrationv1.Create, admissionregistrationv1.Update)
	hook.FailurePolicy = new(admissionregistrationv1.Fail)
	hook.MatchConditions = []admissionregistrationv1.MatchCondition{
		{Name: "migration-config", Expression: named + " || " + labelled("object") + " || (oldObject != null && " + labelled("oldObject") + ")"},
		{Name: "not-being-deleted", Expression: notBeingDeleted},
	}
	return hook
}

// deletion only warns, and fails open: a namespace that is deleted with us in
// it must not wait for us.
func (i Install) deletion() admissionregistrationv1.ValidatingWebhook {
	hook := i.configMaps()
	hook.Name = NameDeletion
	hook.Rules = rules("", "configmaps", admissionregistrationv1.Delete)
	hook.FailurePolicy = new(admissionregistrationv1.Ignore)
	hook.MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "migration-config", Expression: named}}
	return hook
}

func (i Install) configMaps() admissionregistrationv1.ValidatingWebhook {
	return admissionregistrationv1.ValidatingWebhook{
		ClientConfig:            i.client(PathConfig),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       selector(metav1.LabelSelectorOpIn, i.Namespace),
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNone),
		TimeoutSeconds:          new(int32(configTimeout)),
		AdmissionReviewVersions: []string{"v1"},
	}
}

const named = "request.name == '" + names.ConfigMap + "'"

func labelled(object string) string {
	return fmt.Sprintf(`(has(%[1]s.metadata.labels) && '%[2]s' in %[1]s.metadata.labels && %[1]s.metadata.labels['%[2]s'] == 'true')`,
		object, ingressgen.LabelConfig)
}

func (i Install) client(path string) admissionregistrationv1.WebhookClientConfig {
	return admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{
			Namespace: i.Namespace, Name: names.Webhook, Path: new(path), Port: new(int32(443)),
		},
		CABundle: i.CABundle,
	}
}

func rules(apiGroup, resource string, operations ...admissionregistrationv1.OperationType) []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: operations,
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{apiGroup}, APIVersions: []string{"v1"}, Resources: []string{resource},
			Scope: new(admissionregistrationv1.NamespacedScope),
		},
	}}
}

func selector(operator metav1.LabelSelectorOperator, namespaces ...string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: namespaceName, Operator: operator, Values: namespaces,
	}}}
}
