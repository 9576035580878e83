package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestDeletedNamespace follows "Uninstalled without restoring" of docs/install.md: only the
// namespace was deleted, and generated objects are there again from a backup. It is then
// installed in another namespace, and at last where it was.
func TestDeletedNamespace(t *testing.T) {
	s, before := migrateTwoIngresses(t)
	config := cluster.ConfigText(t)
	t.Cleanup(func() { installAgain(cleanup{t}, config) })
	generated := []string{"ingresses,services,endpointslices", "--namespace", s.Namespace, "--selector", world.Managed}
	backup := cluster.Kubectl(t, append([]string{"get", "-o", "json"}, generated...)...)

	deleteNamespaceSlowly(t)
	cluster.Run(t, world.Command{Program: "kubectl", Args: []string{"replace", "--force", "-f", "-"}, Input: backup})
	const elsewhere = "e2e-elsewhere"
	cluster.Kubectl(t, "create", "namespace", elsewhere)
	t.Cleanup(func() { cluster.Kubectl(cleanup{t}, "delete", "namespace", elsewhere, "--ignore-not-found") })
	refused := cluster.Try(t, cluster.InstallElsewhere(elsewhere))
	require.NotZero(t, refused.Code)
	require.Contains(t, refused.Output, "ClusterRole", "Helm names what stands in the way")

	cluster.Kubectl(t, "create", "namespace", world.Namespace)
	cluster.Proxy(t, "restore", "--all")
	requireAllRestored(t, s, before)
	s.WaitForSplit(0)
	removeOutsideObjects(t)
	cluster.Kubectl(t, "-n", world.Namespace, "delete", "configmap", "migration-state")

	createConfig(t, elsewhere, config)
	cluster.Run(t, cluster.InstallElsewhere(elsewhere))
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(30)
	cluster.Run(t, world.Command{Program: "helm", Args: []string{"uninstall", "migration-proxy", "--namespace", elsewhere, "--wait"}})
	requireAllRestored(t, s, before)
	s.WaitForSplit(0)
}

// deleteNamespaceSlowly deletes the namespace of the installation. While it ends, restore
// says what to wait for.
func deleteNamespaceSlowly(t *testing.T) {
	t.Helper()
	const held = "held"
	cluster.Kubectl(t, "-n", world.Namespace, "create", "configmap", held)
	cluster.Kubectl(t, "-n", world.Namespace, "patch", "configmap", held, "--patch", `{"metadata": {"finalizers": ["example.com/held"]}}`)
	release := func(t world.T) {
		cluster.Try(t, world.Command{Program: "kubectl", Args: []string{
			"-n", world.Namespace, "patch", "configmap", held, "--patch", `{"metadata": {"finalizers": null}}`,
		}})
	}
	t.Cleanup(func() { release(cleanup{t}) })
	cluster.Kubectl(t, "delete", "namespace", world.Namespace, "--wait=false")
	world.Eventually(t, "only what is held is left", func(ctx context.Context) error {
		left, err := cluster.Client.CoreV1().ConfigMaps(world.Namespace).List(ctx, metav1.ListOptions{})
		if err == nil && len(left.Items) > 1 {
			err = fmt.Errorf("%d ConfigMaps", len(left.Items))
		}
		return err
	})
	created := cluster.Try(t, world.Command{Program: "kubectl", Args: []string{"create", "namespace", world.Namespace}})
	require.Contains(t, created.Output, "AlreadyExists")
	restored := cluster.Try(t, cluster.ProxyCommand("restore", "--all"))
	require.NotZero(t, restored.Code, restored.Output)
	require.Contains(t, restored.Output, "kubectl wait --for=delete namespace/"+world.Namespace)
	release(t)
	cluster.Kubectl(t, "wait", "--for=delete", "namespace/"+world.Namespace, "--timeout=2m")
}

// removeOutsideObjects does what docs/install.md says about the objects that are in no
// namespace.
func removeOutsideObjects(t world.T) {
	t.Helper()
	cluster.Kubectl(t, "delete", "--ignore-not-found", "validatingwebhookconfiguration,mutatingwebhookconfiguration", "migration-proxy-webhook")
	cluster.Kubectl(t, "delete", "--ignore-not-found", "clusterrole,clusterrolebinding", "migration-proxy-webhook", "migration-proxy-restore")
	cluster.Kubectl(t, "delete", "--ignore-not-found", "validatingadmissionpolicy,validatingadmissionpolicybinding", "migration-proxy-webhook")
}

// createConfig creates a migration config as step 4 of docs/install.md does.
func createConfig(t world.T, namespace, text string) {
	t.Helper()
	cluster.Kubectl(t, "-n", namespace, "create", "configmap", world.ConfigMap, "--from-literal="+world.ConfigKey+"="+text)
	cluster.Kubectl(t, "-n", namespace, "label", "configmap", world.ConfigMap, world.ConfigLabel+"=true")
}

// installAgain brings the installation back for other scenarios, whatever is left of it.
func installAgain(t world.T, config string) {
	t.Helper()
	cluster.Try(t, world.Command{Program: "kubectl", Args: []string{"create", "namespace", world.Namespace}})
	removeOutsideObjects(t)
	if cluster.Try(t, world.Command{Program: "kubectl", Args: []string{"-n", world.Namespace, "get", "configmap", world.ConfigMap}}).Code != 0 {
		createConfig(t, world.Namespace, config)
	}
	cluster.Reinstall(t)
}

// TestOnlyTheseNamespaces: with webhook.namespaces an Ingress of another namespace keeps
// what its user wrote, nothing is made beside it, and its requests go to old.
func TestOnlyTheseNamespaces(t *testing.T) {
	inside, outside := cluster.NewApp(t), cluster.NewApp(t)
	outside.Service, outside.Host = outside.Service+"-outside", "outside."+outside.Host
	t.Cleanup(func() { cluster.Install(cleanup{t}) })
	cluster.Install(t, "webhook.namespaces={"+inside.Namespace+"}")
	outside.Ingress("shop")
	outside.Configure(50)
	outside.OptIn("shop")
	want := outside.GetIngress("shop").Spec
	inside.Migrate(50)
	inside.OptOut("shop")
	inside.WaitForSplit(0)
	requireOutside := func(context.Context) error {
		left := cluster.Kubectl(t, "get", "services,endpointslices,ingresses", "-n", outside.Namespace, "-l", world.Managed, "-o", "name")
		if strings.Contains(left, "/") {
			return errors.New(left)
		}
		return nil
	}
	world.Consistently(t, 5*time.Second, "nothing is generated", requireOutside)
	require.Equal(t, want, outside.GetIngress("shop").Spec)
	outside.ExpectSplit(0)
	outside.WaitForPhase("shop", bypassed) // by admission, as a part of the user's own write
	outside.WaitForEvent(t, outside.Namespace, "Ingress", "WriteRefused", fmt.Sprintf("in the namespace %q", outside.Namespace))
}

// TestClientSideApply: kubectl apply keeps a copy of the config in an annotation, which ends
// at 256 KiB. Server-side apply takes as much as a ConfigMap holds.
func TestClientSideApply(t *testing.T) {
	t.Parallel()
	s := cluster.NewApp(t)
	manifest := func(services int) string {
		var text strings.Builder
		fmt.Fprintf(&text, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: big, namespace: %s, labels: {%s: \"true\"}}\ndata:\n  %s: |\n    services:\n",
			s.Namespace, world.ConfigLabel, world.ConfigKey)
		for i := range services {
			name := fmt.Sprintf("s%d", i)
			fmt.Fprintf(&text, "    - {name: %s, old_host: %[1]s.%[2]s, old_backend: %[3]s, new_host: %[1]s.new.example.com, new_backend: %[4]s, tls: {verify: false}, migration: {enabled: true, percentage: 0}}\n",
				name, s.Host, s.OldBackend(), s.NewBackend())
		}
		return text.String()
	}
	apply := func(text string, more ...string) world.Result {
		return cluster.Try(t, world.Command{Program: "kubectl", Args: append([]string{"apply", "-f", "-"}, more...), Input: text})
	}
	require.Zero(t, apply(manifest(700)).Code)
	refused := apply(manifest(1000))
	require.NotZero(t, refused.Code)
	require.Contains(t, refused.Output, "262144 bytes")
	taken := apply(manifest(2000), "--server-side", "--force-conflicts")
	require.Zero(t, taken.Code, taken.Output)
}
