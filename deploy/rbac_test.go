package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// right is one verb on one resource, as RBAC has it.
type right struct {
	account  string // the service account
	where    string // here is the proxy's namespace, everywhere all namespaces
	verb     string
	resource string // RESOURCE.GROUP
	name     string // "" is any
}

// need is the rights of one account on one resource, and the calls that need them:
// files of this module, with the text of the call.
type need struct {
	account, where, resource string
	names                    []string
	verbs                    string
	calls                    map[string]string // file -> text in it
}

// The accounts, and the two scopes.
const (
	proxyAccount   = "migration-proxy"
	webhookAccount = "migration-proxy-webhook"
	restoreAccount = "migration-proxy-restore"
	testAccount    = "migration-proxy-test"

	here       = "here"
	everywhere = "everywhere"
)

// needs is every request of the code to the API server, and so every right that the
// chart may grant.
var needs = []need{
	// The data plane.
	{proxyAccount, here, "configmaps", []string{"migration-config", "migration-ramp"}, "list watch", map[string]string{
		"internal/kube/follow.go": "l.source.Client.Watch(",
	}},
	{proxyAccount, here, "configmaps", []string{"migration-state"}, "get", map[string]string{
		"internal/kube/lastgood.go": "Get(ctx, names.StateMap",
	}},

	// Admission and the watcher. The right get is for restore --all, typed in the pod.
	{webhookAccount, here, "configmaps", []string{"migration-config", "migration-state"}, "get list watch", map[string]string{
		"internal/kube/follow.go":                   "l.source.Client.Watch(",
		"internal/cli/installation/installation.go": "ConfigMaps(i.Namespace).Get(",
	}},
	{webhookAccount, here, "configmaps", []string{"migration-state"}, "patch", map[string]string{
		"watcher/state_store.go": ".Patch(",
	}},
	{webhookAccount, here, "configmaps", []string{"migration-journal", "migration-audit"}, "get patch", map[string]string{
		"watcher/clusterjournal/writer.go": "w.options.Source.Put(",
		"internal/kube/put.go":             "client.Patch(",
		"watcher/clusterjournal/author.go": "Get(ctx, names.AuditMap",
		"webhook/note_writer.go":           "client.Patch(",
	}},
	{webhookAccount, here, "configmaps", []string{"migration-ramp"}, "list watch patch", map[string]string{
		"internal/kube/follow.go":      "l.source.Client.Watch(",
		"watcher/clusterramp/store.go": "s.source.Put(",
		"internal/kube/put.go":         "client.Patch(",
	}},
	{webhookAccount, here, "configmaps", nil, "create", map[string]string{
		"watcher/state_store.go": ".Create(",
	}},
	{webhookAccount, here, "leases.coordination.k8s.io", []string{"migration-proxy-watcher"}, "get update", map[string]string{
		"internal/manager/manager.go": "LeaderElectionID:",
	}},
	{webhookAccount, here, "leases.coordination.k8s.io", nil, "create", map[string]string{
		"internal/manager/manager.go": "LeaderElectionID:",
	}},
	{webhookAccount, here, "events", nil, "create patch", map[string]string{ // client-go reports the leader
		"internal/manager/manager.go": "LeaderElectionID:",
	}},
	{webhookAccount, everywhere, "events.events.k8s.io", nil, "create patch", map[string]string{
		"watcher/events/writer.go": "events.NewBroadcaster(",
	}},
	{webhookAccount, everywhere, "ingresses.networking.k8s.io", nil, "get list watch create update patch delete", map[string]string{
		"watcher/objects/stores.go":    "NetworkingV1().Ingresses(\"\")",
		"watcher/reconcile/patcher.go": "NetworkingV1().Ingresses(ingress.Namespace).Patch(",
		"watcher/apiwrite/objects.go":  "w.Client.Update(ctx, object",
	}},
	{webhookAccount, everywhere, "ingressclasses.networking.k8s.io", nil, "list watch", map[string]string{
		"watcher/objects/stores.go": "NetworkingV1().IngressClasses()",
	}},
	{webhookAccount, everywhere, "services", nil, "get list watch create update delete", map[string]string{
		"watcher/objects/stores.go":            "CoreV1().Services(\"\")",
		"watcher/reconcile/service_objects.go": "CoreV1().Services(key.Namespace)",
		"watcher/apiwrite/objects.go":          "w.Client.Update(ctx, object",
		"internal/kube/ports.go":               "client.Services(namespace).Get(",
	}},
	{webhookAccount, everywhere, "endpointslices.discovery.k8s.io", nil, "list watch create update delete", map[string]string{
		"watcher/objects/stores.go":            "DiscoveryV1().EndpointSlices(\"\")",
		"watcher/reconcile/service_objects.go": "DiscoveryV1().EndpointSlices(",
	}},

	// The hook before helm uninstall: restore --all.
	{restoreAccount, here, "configmaps", []string{"migration-config", "migration-state", "migration-proxy-applied-hooks"}, "get", map[string]string{
		"internal/cli/restore/hook.go":              "Get(ctx, names.AppliedHooks",
		"internal/cli/installation/installation.go": "ReadConfigMap(ctx, names.StateMap",
		"internal/kube/lastgood.go":                 "Get(ctx, names.StateMap",
	}},
	{restoreAccount, here, "configmaps", []string{"migration-state"}, "patch", map[string]string{
		"internal/cli/restore/pause.go": "ConfigMaps(r.Namespace).Patch(ctx, names.StateMap",
	}},
	{restoreAccount, here, "configmaps", nil, "create", map[string]string{
		"internal/cli/restore/pause.go": "ConfigMaps(r.Namespace).Create(",
	}},
	{restoreAccount, everywhere, "ingresses.networking.k8s.io", nil, "get list patch delete", map[string]string{
		"internal/cli/restore/all.go": "Ingresses(metav1.NamespaceAll).List(",
		"internal/cli/restore/one.go": "Ingresses(ingress.Namespace).Patch(ctx, ingress.Name",
	}},
	{restoreAccount, everywhere, "services", nil, "list delete", map[string]string{
		"internal/cli/restore/generated.go": "Services(o.namespace).Delete",
	}},
	{restoreAccount, everywhere, "endpointslices.discovery.k8s.io", nil, "list delete", map[string]string{
		"internal/cli/restore/generated.go": "EndpointSlices(o.namespace).Delete",
	}},

	// helm test: check.
	{testAccount, here, "configmaps", []string{"migration-config", "migration-state", "migration-journal"}, "get", map[string]string{
		"internal/cli/installation/installation.go": "ConfigMaps(i.Namespace).Get(",
		"internal/cli/check/check.go":               "in.State(ctx)",
		"internal/cli/clusterstatus/status.go":      "from.Journal(ctx)",
	}},
	{testAccount, here, "configmaps", []string{"migration-config"}, "patch", map[string]string{
		"internal/cli/check/check.go": "ConfigMaps(in.Namespace).Patch(ctx, names.ConfigMap",
	}},
	{testAccount, here, "endpointslices.discovery.k8s.io", nil, "list", map[string]string{
		"internal/cli/installation/installation.go": "EndpointSlices(i.Namespace).List(",
	}},
	{testAccount, here, "pods/proxy", nil, "get", map[string]string{
		"internal/kube/replica_statuses.go": "Pods(namespace).ProxyGet(",
	}},
}

// TestRights: each account has the rights that its code needs, and no others.
func TestRights(t *testing.T) {
	t.Parallel()
	var wanted []right
	for _, n := range needs {
		names := n.names
		if names == nil {
			names = []string{""}
		}
		for _, name := range names {
			for verb := range strings.FieldsSeq(n.verbs) {
				wanted = append(wanted, right{n.account, n.where, verb, n.resource, name})
			}
		}
	}
	require.ElementsMatch(t, wanted, granted(t, render(t)))
}

// TestRightsAreUsed: the source has the calls of the table. After a call is
// removed, look at the rights too.
func TestRightsAreUsed(t *testing.T) {
	t.Parallel()
	for _, n := range needs {
		for file, call := range n.calls {
			text, err := os.ReadFile(filepath.Join("..", file))
			require.NoError(t, err)
			require.Contains(t, string(text), call, "%s: %s %s for %s: is the right still needed?", file, n.verbs, n.resource, n.account)
		}
	}
}

// granted gives the rights of all accounts in the rendered objects.
func granted(t *testing.T, objects []client.Object) []right {
	t.Helper()
	var rights []right
	for _, binding := range all[*rbacv1.RoleBinding](objects) {
		require.Equal(t, namespace, binding.Namespace)
		require.Equal(t, "Role", binding.RoleRef.Kind)
		role := one[*rbacv1.Role](t, objects, binding.RoleRef.Name)
		require.Equal(t, namespace, role.Namespace)
		rights = append(rights, rightsOf(account(t, objects, binding.Subjects), here, role.Rules)...)
	}
	for _, binding := range all[*rbacv1.ClusterRoleBinding](objects) {
		role := one[*rbacv1.ClusterRole](t, objects, binding.RoleRef.Name)
		require.Nil(t, role.AggregationRule)
		require.Empty(t, role.Labels["rbac.authorization.k8s.io/aggregate-to-edit"])
		rights = append(rights, rightsOf(account(t, objects, binding.Subjects), everywhere, role.Rules)...)
	}
	return rights
}

// account is the account of a binding. It must belong to a pod of the chart.
func account(t *testing.T, objects []client.Object, subjects []rbacv1.Subject) string {
	t.Helper()
	require.Len(t, subjects, 1)
	require.Equal(t, rbacv1.ServiceAccountKind, subjects[0].Kind)
	require.Equal(t, namespace, subjects[0].Namespace)
	for _, spec := range podSpecs(objects) {
		if spec.ServiceAccountName == subjects[0].Name {
			return subjects[0].Name
		}
	}
	require.Failf(t, "bound to an account that no pod has", "%s", subjects[0].Name)
	return ""
}

func rightsOf(account, where string, rules []rbacv1.PolicyRule) []right {
	var found []right
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, resource := range resources(rule) {
			for _, verb := range rule.Verbs {
				for _, name := range names {
					found = append(found, right{account, where, verb, resource, name})
				}
			}
		}
	}
	return found
}

// resources are the resources of a rule, with their groups. URLs count too, so that
// a rule for one is reported as not needed.
func resources(rule rbacv1.PolicyRule) []string {
	found := rule.NonResourceURLs
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			found = append(found, strings.TrimSuffix(resource+"."+group, "."))
		}
	}
	return found
}
