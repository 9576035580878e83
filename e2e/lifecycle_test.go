package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestRestoreAll restores all Ingresses without webhook and watcher.
func TestRestoreAll(t *testing.T) {
	s, before := migrateTwoIngresses(t)
	streams := twoStreams(s)
	t.Cleanup(func() { s.Proxy(cleanup{t}, "restore", "--resume") })
	back := scaleToZero(t, world.Webhook)
	s.Proxy(t, "restore", "--all")
	requireAllRestored(t, s, before)
	s.WaitForSplit(0)
	back()
	s.OptIn("shop", "team=checkout") // a write, which must not be rewritten while paused
	world.Consistently(t, 2*time.Second, "shop is not rewritten", func(context.Context) error {
		return notRewritten(s.GetIngress("shop"))
	})
	s.Proxy(t, "restore", "--resume")
	s.WaitForPhase("shop", migrating)
	waitForCanaryWeight(s, "side-migration", "30")
	for _, stream := range streams {
		stream.StopWithoutLoss()
	}
}

// TestUninstallLeavesNoTrace uninstalls and installs the chart under load. After the
// installation, Ingresses that have opted in migrate again.
func TestUninstallLeavesNoTrace(t *testing.T) {
	s, before := migrateTwoIngresses(t)
	streams := twoStreams(s)
	reinstallOnFailure(t)
	cluster.Uninstall(t)
	requireAllRestored(t, s, before)
	requireNoTrace(t)
	s.ExpectSplit(0)
	cluster.Install(t)
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(30)
	for _, stream := range streams {
		stream.StopWithoutLoss()
	}
}

// TestAppliedHooksRestoreNothing applies all that helm template prints, the Job of
// helm uninstall among it, as GitOps tools do. The Job refuses; helm uninstall, run
// after the message was followed, restores everything.
func TestAppliedHooksRestoreNothing(t *testing.T) {
	s, before := migrateTwoIngresses(t)
	reinstallOnFailure(t)
	t.Cleanup(func() { removeAppliedHooks(cleanup{t}) })
	cluster.ApplyTemplate(t)
	logs := world.Command{Program: "kubectl", Args: []string{"-n", world.Namespace, "logs", "--tail=-1", "-l", "app.kubernetes.io/component=restore"}}
	world.Eventually(t, "the Job fails", func(context.Context) error {
		return contains(cluster.Try(t, logs).Output, "nothing was restored: ConfigMap") // no logs before its first container runs
	})
	s.WaitForPhase("shop", migrating)
	s.ExpectSplit(30)
	require.NotContains(t, cluster.Kubectl(t, "-n", world.Namespace, "get", "configmap", "migration-state", "-o", "yaml"), "paused")

	removeAppliedHooks(t)
	cluster.Install(t) // there must be a revision to go back to
	cluster.Rollback(t)
	require.NotContains(t, cluster.Kubectl(t, "-n", world.Namespace, "get", "configmaps"), "applied-hooks", "helm rollback deletes it again")
	cluster.Uninstall(t)
	requireAllRestored(t, s, before)
	requireNoTrace(t)
	cluster.Install(t)
}

// removeAppliedHooks does what the Job's message says.
func removeAppliedHooks(t world.T) {
	t.Helper()
	cluster.Kubectl(t, "-n", world.Namespace, "delete", "--ignore-not-found", "job,role,rolebinding,serviceaccount", "migration-proxy-restore")
	cluster.Kubectl(t, "-n", world.Namespace, "delete", "--ignore-not-found", "pod,role,rolebinding,serviceaccount", "migration-proxy-test")
	cluster.Kubectl(t, "delete", "--ignore-not-found", "clusterrole,clusterrolebinding", "migration-proxy-restore")
	cluster.Kubectl(t, "-n", world.Namespace, "delete", "--ignore-not-found", "configmap", "migration-proxy-applied-hooks")
}

func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("%q is not in\n%s", part, text)
	}
	return nil
}

// migrateTwoIngresses creates an App with two migrating Ingresses, one of each mode.
// It also gives their JSON from before, with the annotation that opts in.
func migrateTwoIngresses(t *testing.T) (*world.App, map[string]string) {
	t.Helper()
	s := cluster.NewApp(t)
	s.Behind(wire.IngressNginx)
	side := "side." + s.Host
	s.Configure(30)
	s.Alias("side", world.Old) // mode canary needs a Service of its own
	s.ConfigureBehind("side", side, 30, "mode: canary")
	s.Ingress("shop")
	s.Ingress("side", leads("/", side, "side"))
	before := map[string]string{"shop": s.IngressJSON("shop"), "side": s.IngressJSON("side")}
	s.OptIn("shop")
	s.OptIn("side")
	s.WaitForPhase("shop", migrating)
	waitForCanaryWeight(s, "side-migration", "30")
	s.WaitForSplit(30)
	s.WaitForSplit(30, world.Host(side))
	return s, before
}

// requireAllRestored requires the Ingresses as they were, except for the user's
// annotation, and no generated objects.
func requireAllRestored(t *testing.T, s *world.App, before map[string]string) {
	t.Helper()
	for name, want := range before {
		got := s.IngressJSON(name)
		require.Contains(t, got, world.Annotations+"enabled")
		require.Equal(t, want, world.WithoutAnnotation(t, got, world.Annotations+"enabled"), name)
	}
	s.WaitForNoIngress("side-migration")
	requireNothingGenerated(t, s)
}

// requireNothingGenerated requires that the App's namespace has no object with our
// label: no proxy Service, EndpointSlice, anchor or companion.
func requireNothingGenerated(t *testing.T, s *world.App) {
	t.Helper()
	world.Eventually(t, "nothing generated in "+s.Namespace, func(context.Context) error {
		left := s.Try(t, world.Command{Program: "kubectl", Args: []string{
			"get", "services,endpointslices,ingresses", "--namespace", s.Namespace, "--selector", world.Managed, "--output", "name",
		}})
		if left.Code != 0 || strings.Contains(left.Output, "/") {
			return errors.New(left.Output)
		}
		return nil
	})
}

// requireNoTrace requires that no object of the chart or its programs exists.
// Namespace and migration config belong to the user.
func requireNoTrace(t *testing.T) {
	t.Helper()
	nodes := strings.Fields(cluster.Kubectl(t, "get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"))
	world.Eventually(t, "only the expected objects", func(context.Context) error {
		inside := objects(t, "--namespaced=true", "--namespace", world.Namespace)
		outside := slices.DeleteFunc(objects(t, "--namespaced=false"), func(object string) bool {
			// Not the actors', and not those that have the name of a node: the nodes of a
			// kind cluster have its name.
			_, name, _ := strings.Cut(object, "/")
			return !strings.Contains(name, "migration-proxy") || name == "migration-proxy-e2e" || slices.Contains(nodes, name)
		})
		if got := strings.Join(append(outside, inside...), "\n"); got != expectedLeftovers {
			return fmt.Errorf("there is\n%s", got)
		}
		return nil
	})
}

// expectedLeftovers also has the objects of every namespace, the released lease of the
// last leader, and the Secrets, which cert-manager keeps by default.
const expectedLeftovers = `namespace/migration-proxy
configmap/kube-root-ca.crt
configmap/migration-config
lease.coordination.k8s.io/migration-proxy-watcher
secret/migration-proxy-webhook-ca
secret/migration-proxy-webhook-tls
serviceaccount/default`

// objects lists the names of all objects. It leaves out Events, and Endpoints, for
// which kubectl prints a warning (EndpointSlices have the same content).
func objects(t *testing.T, scope string, where ...string) []string {
	t.Helper()
	kinds := slices.DeleteFunc(strings.Fields(cluster.Kubectl(t, "api-resources", "--verbs=list", "-o", "name", scope)), func(kind string) bool {
		return strings.HasPrefix(kind, "events") || kind == "endpoints"
	})
	names := strings.Fields(cluster.Kubectl(t, append([]string{"get", strings.Join(kinds, ","), "-o", "name"}, where...)...))
	slices.Sort(names)
	return names
}

// TestOlderAndNewerSideBySide pauses an upgrade while replicas of both versions serve,
// and works with them. No request is lost during the upgrade.
func TestOlderAndNewerSideBySide(t *testing.T) {
	s := cluster.NewApp(t)
	s.Migrate(50)
	stream := s.Stream()
	reinstallOnFailure(t)
	cluster.InstallOlder(t)

	// A ready Pod becomes available only after an hour, so the rollout stops when one
	// new replica serves together with the older ones.
	patchProxy(t, fmt.Sprintf(`{"spec": {"minReadySeconds": 3600, "progressDeadlineSeconds": 7200, "template": {"spec": {"containers": [{"name": %q, "image": %q}]}}}}`,
		proxyContainer(t), cluster.CurrentImage()))
	waitForVersions(t, world.OlderVersion, world.CurrentVersion)
	for _, percent := range []string{"80", "100", "50"} {
		s.Proxy(t, "update", s.Service, percent)
	}
	s.ExpectSplit(50)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")))

	patchProxy(t, `{"spec": {"minReadySeconds": 0, "progressDeadlineSeconds": 600}}`)
	cluster.WaitForRollout(t, world.Deployment)
	cluster.Install(t)
	waitForVersions(t, world.CurrentVersion)
	s.ExpectSplit(50)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")))
	stream.StopWithoutLoss()
}

func patchProxy(t *testing.T, patch string) {
	t.Helper()
	cluster.Kubectl(t, "patch", "deployment", world.Deployment, "-n", world.Namespace, "--patch", patch)
}

func proxyContainer(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(cluster.Kubectl(t, "get", "deployment", world.Deployment, "-n", world.Namespace,
		"-o", "jsonpath={.spec.template.spec.containers[0].name}"))
}

// waitForVersions waits until the ready proxies have exactly these versions.
func waitForVersions(t *testing.T, want ...string) {
	t.Helper()
	if !cluster.OwnImages() {
		return // other images have other versions
	}
	world.Eventually(t, fmt.Sprint("replicas of ", want), func(ctx context.Context) error {
		got, err := cluster.ReadyVersions(ctx)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("they are %v", got)
		}
		return err
	})
}
