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

// The names of the webhooks in error messages and metrics of the API server.
const (
	NameIngress  = "ingress." + names.Group
	NameConfig   = "config." + names.Group
	NameDeletion = "config-deletion." + names.Group
)

const (
	namespaceName = "kubernetes.io/metadata.name" // a label that the API server sets
	// annotationInject names the Certificate whose CA cert-manager's injector
	// writes into caBundle.
	annotationInject = "cert-manager.io/inject-ca-from"
)

// How long the API server waits for a response. An Ingress must not wait long for
// a migration tool; loading a config of 5,000 services takes about 0.2 s.
const (
	ingressTimeout = 2 // seconds
	configTimeout  = 5
)

// Install has the parameters of Configurations.
type Install struct {
	Namespace string // of the migration proxy
	CABundle  []byte // PEM; empty when cert-manager fills it in
	// InjectFrom is the cert-manager Certificate, NAMESPACE/NAME, whose CA the
	// injector fills in; "" if CABundle is given.
	InjectFrom string
}

// User is the user name of a service account.
func User(namespace, serviceAccount string) string {
	return fmt.Sprintf("system:serviceaccount:%s:%s", namespace, serviceAccount)
}

// Configurations are the objects that register the webhooks: for opted-in
// Ingresses, and for the migration ConfigMap in the proxy's namespace.
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

// ingresses is the webhook for Ingresses that are or were opted in. It fails
// open. The API server calls it again when another webhook changed the Ingress
// after it. Its side effect is a note of who opts an Ingress in or out, which a dry run
// does not leave.
func (i Install) ingresses() admissionregistrationv1.MutatingWebhook {
	return admissionregistrationv1.MutatingWebhook{
		Name:                    NameIngress,
		ClientConfig:            i.client(PathIngress),
		Rules:                   rules("networking.k8s.io", "ingresses", admissionregistrationv1.Create, admissionregistrationv1.Update),
		FailurePolicy:           new(admissionregistrationv1.Ignore),
		MatchPolicy:             new(admissionregistrationv1.Equivalent),
		NamespaceSelector:       selector(metav1.LabelSelectorOpNotIn, "kube-system", i.Namespace),
		ObjectSelector:          &metav1.LabelSelector{},
		SideEffects:             new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
		TimeoutSeconds:          new(int32(ingressTimeout)),
		AdmissionReviewVersions: []string{"v1"},
		ReinvocationPolicy:      new(admissionregistrationv1.IfNeededReinvocationPolicy),
		MatchConditions:         i.ingressConditions(),
	}
}

// ingressConditions are evaluated by the API server, so that other Ingresses
// cost no call. An Ingress whose annotation is neither true nor false gets a call
// and a warning. An Ingress that is being deleted stays as it is, and so does one
// that the watcher writes: the watcher knows a newer state than the webhook.
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

// hashed matches the name with a suffix that kustomize gives it. Nothing reads
// such a ConfigMap, and its user is told.
const hashed = "request.name.startsWith('" + names.ConfigMap + "-')"

const notBeingDeleted = "!has(object.metadata.deletionTimestamp)"

// config is the webhook for the ConfigMap that the proxies read, with or without
// the label, and for others that are labeled or whose name begins with its name. It fails closed: an unchecked bad config
// would go unnoticed.
func (i Install) config() admissionregistrationv1.ValidatingWebhook {
	hook := i.configMaps()
	hook.Name = NameConfig
	hook.Rules = rules("", "configmaps", admissionregistrationv1.Create, admissionregistrationv1.Update)
	hook.FailurePolicy = new(admissionregistrationv1.Fail)
	hook.SideEffects = new(admissionregistrationv1.SideEffectClassNoneOnDryRun) // the note of who made the change
	hook.MatchConditions = []admissionregistrationv1.MatchCondition{
		{Name: "migration-config", Expression: named + " || " + hashed + " || " + labeled("object") + " || (oldObject != null && " + labeled("oldObject") + ")"},
		{Name: "not-being-deleted", Expression: notBeingDeleted},
	}
	return hook
}

// deletion only warns, and fails open: the deletion of the namespace, and of this
// program with it, must not wait for this program.
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

func labeled(object string) string {
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
