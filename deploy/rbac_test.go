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
	account  string // who: the service account
	where    string // "here" is our namespace, "everywhere" all
	verb     string
	resource string // RESOURCE.GROUP
	name     string // "" is any
}

// need is rights of one account on one resource, and the calls they are for:
// files of this module or of a library, with the text of the call.
type need struct {
	account, where, resource string
	names                    []string
	verbs                    string
	calls                    map[string]string // file -> text in it
}

// The accounts, and the places that count.
const (
	proxyAccount   = "migration-proxy"
	webhookAccount = "migration-proxy-webhook"
	restoreAccount = "migration-proxy-restore"

	here       = "here"
	everywhere = "everywhere"
)

// needs is all that the code asks of the API server, and so all that the chart
// may grant.
var needs = []need{
	// The data plane.
	{proxyAccount, here, "configmaps", []string{"migration-config"}, "list watch", map[string]string{
		"cluster/follow.go": "configMaps.Watch(",
	}},
	{proxyAccount, here, "configmaps", []string{"migration-state"}, "get", map[string]string{
		"cmd/migration-proxy/source.go": "Get(ctx, names.StateMap",
	}},

	// Admission and the watcher. get: restore --all, typed by hand in the pod.
	{webhookAccount, here, "configmaps", []string{"migration-config", "migration-state"}, "get list watch", map[string]string{
		"cluster/follow.go":                   "configMaps.Watch(",
		"cmd/migration-proxy/installation.go": "ConfigMaps(i.namespace).Get(",
	}},
	{webhookAccount, here, "configmaps", []string{"migration-state"}, "patch", map[string]string{
		"watcher/record.go": "r.maps.Patch(",
	}},
	{webhookAccount, here, "configmaps", nil, "create", map[string]string{
		"watcher/record.go": "r.maps.Create(",
	}},
	{webhookAccount, here, "leases.coordination.k8s.io", []string{"migration-proxy-watcher"}, "get update", map[string]string{
		"cmd/migration-proxy/webhook_plane.go": "LeaderElectionID:",
	}},
	{webhookAccount, here, "leases.coordination.k8s.io", nil, "create", map[string]string{
		"cmd/migration-proxy/webhook_plane.go": "LeaderElectionID:",
	}},
	{webhookAccount, here, "events", nil, "create patch", map[string]string{ // client-go's leader election: who leads
		"cmd/migration-proxy/webhook_plane.go": "LeaderElectionID:",
	}},
	{webhookAccount, everywhere, "events.events.k8s.io", nil, "create patch", map[string]string{
		"watcher/events.go": "events.NewBroadcaster(",
	}},
	{webhookAccount, everywhere, "ingresses.networking.k8s.io", nil, "get list watch create update patch delete", map[string]string{
		"watcher/assemble.go":  "NetworkingV1().Ingresses(\"\")",
		"watcher/ingresses.go": "Patch(",
		"watcher/companion.go": "Update(ctx, next",
	}},
	{webhookAccount, everywhere, "services", nil, "get list watch create update delete", map[string]string{
		"watcher/assemble.go": "CoreV1().Services(\"\")",
		"watcher/fill.go":     "CoreV1().Services(next.Namespace).Update(",
		"webhook/ports.go":    "client.Services(key.Namespace).Get(",
	}},
	{webhookAccount, everywhere, "endpointslices.discovery.k8s.io", nil, "list watch create update delete", map[string]string{
		"watcher/assemble.go": "DiscoveryV1().EndpointSlices(\"\")",
		"watcher/fill.go":     "DiscoveryV1().EndpointSlices(",
	}},

	// The hook before helm uninstall: restore --all.
	{restoreAccount, here, "configmaps", []string{"migration-config", "migration-state"}, "get", map[string]string{
		"cmd/migration-proxy/installation.go": "ConfigMaps(i.namespace).Get(",
		"cmd/migration-proxy/source.go":       "Get(ctx, names.StateMap",
	}},
	{restoreAccount, here, "configmaps", []string{"migration-state"}, "patch", map[string]string{
		"cmd/migration-proxy/restoreall.go": "configMaps.Patch(",
	}},
	{restoreAccount, here, "configmaps", nil, "create", map[string]string{
		"cmd/migration-proxy/restoreall.go": "configMaps.Create(",
	}},
	{restoreAccount, everywhere, "ingresses.networking.k8s.io", nil, "get list patch delete", map[string]string{
		"cmd/migration-proxy/restoreall.go": "Ingresses(metav1.NamespaceAll).List(",
		"cmd/migration-proxy/restore.go":    ".Patch(ctx, ingress.Name",
	}},
	{restoreAccount, everywhere, "services", nil, "list delete", map[string]string{
		"cmd/migration-proxy/restoreall.go": "Services(s.Namespace).Delete",
	}},
	{restoreAccount, everywhere, "endpointslices.discovery.k8s.io", nil, "list delete", map[string]string{
		"cmd/migration-proxy/restoreall.go": "EndpointSlices(s.Namespace).Delete",
	}},
}

// TestRights: each account may do what its code does, and nothing more.
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

// TestRightsAreUsed: the calls of the table are in the code. Who moves or
// removes one looks at the rights, too.
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

// granted are the rights of all accounts in the rendered objects.
func granted(t *testing.T, objects []client.Object) []right {
	t.Helper()
	var found []right
	for _, binding := range all[*rbacv1.RoleBinding](objects) {
		require.Equal(t, namespace, binding.Namespace)
		require.Equal(t, "Role", binding.RoleRef.Kind)
		role := one[*rbacv1.Role](t, objects, binding.RoleRef.Name)
		require.Equal(t, namespace, role.Namespace)
		found = append(found, rightsOf(account(t, objects, binding.Subjects), here, role.Rules)...)
	}
	for _, binding := range all[*rbacv1.ClusterRoleBinding](objects) {
		role := one[*rbacv1.ClusterRole](t, objects, binding.RoleRef.Name)
		require.Nil(t, role.AggregationRule)
		require.Empty(t, role.Labels["rbac.authorization.k8s.io/aggregate-to-edit"])
		found = append(found, rightsOf(account(t, objects, binding.Subjects), everywhere, role.Rules)...)
	}
	return found
}

// account is the one that a binding is for; a role that is bound to nobody, or
// to somebody of another namespace, would be a mistake.
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

// resources are the rule's, with their groups. A rule for a URL is one too, so
// that it is found to be too much.
func resources(rule rbacv1.PolicyRule) []string {
	found := rule.NonResourceURLs
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			found = append(found, strings.TrimSuffix(resource+"."+group, "."))
		}
	}
	return found
}
