package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestRestoreAll is the way back from everything, without webhook and watcher.
func TestRestoreAll(t *testing.T) {
	s, before := twoModes(t)
	stream := s.Stream()
	t.Cleanup(func() { s.Proxy(cleanup{t}, "restore", "--resume") })
	back := scaledTo0(t, world.Webhook)
	s.Proxy(t, "restore", "--all")
	requireAllRestored(t, s, before)
	s.AwaitSplit(0)
	back()
	s.OptIn("shop", "team=checkout") // a write; nothing is rewritten while it is paused
	world.Never(t, 2*time.Second, "shop as its user wrote it", func(context.Context) error {
		return notRewritten(s.GetIngress("shop"))
	})
	s.Proxy(t, "restore", "--resume")
	s.AwaitPhase("shop", migrating)
	awaitCanaryOf(s, "side-migration", "30")
	stream.StopLossless()
}

// TestUninstallLeavesNoTrace, under load; and what was opted in migrates again
// when the chart is back.
func TestUninstallLeavesNoTrace(t *testing.T) {
	s, before := twoModes(t)
	stream := s.Stream()
	reinstalled(t)
	cluster.Uninstall(t)
	requireAllRestored(t, s, before)
	requireNoTrace(t)
	s.ExpectSplit(0)
	cluster.Install(t)
	s.AwaitPhase("shop", migrating)
	s.AwaitSplit(30)
	stream.StopLossless()
}

// twoModes is a site with two migrating Ingresses, one of each mode. It also
// gives what they were before, with the annotation that opts in.
func twoModes(t *testing.T) (*world.Site, map[string]string) {
	t.Helper()
	s := cluster.NewSite(t)
	side := "side." + s.Host
	s.Configure(30)
	s.ConfigureAs(s.Service+"-side", s.TextOf(s.Service+"-side", side, 30, "mode: canary"))
	s.Ingress("shop")
	s.Ingress("side", inPath("/", side))
	before := map[string]string{"shop": s.Written("shop"), "side": s.Written("side")}
	s.OptIn("shop")
	s.OptIn("side")
	s.AwaitPhase("shop", migrating)
	awaitCanaryOf(s, "side-migration", "30")
	s.AwaitSplit(30)
	s.AwaitSplit(30, world.Host(side))
	return s, before
}

// requireAllRestored wants the Ingresses as they were but for the user's own
// annotation, and nothing generated beside them.
func requireAllRestored(t *testing.T, s *world.Site, before map[string]string) {
	t.Helper()
	for name, want := range before {
		got := s.Written(name)
		require.Contains(t, got, world.Annotations+"enabled")
		require.Equal(t, want, world.WithoutAnnotation(t, got, world.Annotations+"enabled"), name)
	}
	s.AwaitGone("side-migration")
	for _, name := range []string{world.ProxyService, "side-migration"} {
		requireNoService(t, s, name)
	}
}

// requireNoService wants no EndpointSlices either.
func requireNoService(t *testing.T, s *world.Site, name string) {
	t.Helper()
	world.Await(t, "no Service "+name, func(ctx context.Context) error {
		_, err := s.Client.CoreV1().Services(s.Namespace).Get(ctx, name, metav1.GetOptions{})
		return world.Gone(err)
	})
	slices, err := s.Client.DiscoveryV1().EndpointSlices(s.Namespace).List(t.Context(),
		metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=" + name})
	require.NoError(t, err)
	require.Empty(t, slices.Items)
}

// requireNoTrace wants nothing that the chart or its programs made. The
// namespace and the users' config are not theirs.
func requireNoTrace(t *testing.T) {
	t.Helper()
	world.Await(t, "only what may stay", func(context.Context) error {
		inside := objects(t, "--namespaced=true", "--namespace", world.Namespace)
		outside := slices.DeleteFunc(objects(t, "--namespaced=false"), func(name string) bool {
			return !strings.Contains(name, "migration-proxy") || strings.HasSuffix(name, "/migration-proxy-e2e") // the stage's
		})
		if got := strings.Join(append(outside, inside...), "\n"); got != mayStay {
			return fmt.Errorf("there is\n%s", got)
		}
		return nil
	})
}

// mayStay also has what Kubernetes puts into every namespace, the lease that the
// last leader gave back, and the Secrets, which cert-manager keeps unless it is
// told otherwise.
const mayStay = `namespace/migration-proxy
configmap/kube-root-ca.crt
configmap/migration-config
lease.coordination.k8s.io/migration-proxy-watcher
secret/migration-proxy-webhook-ca
secret/migration-proxy-webhook-tls
serviceaccount/default`

// objects lists the names of all objects of all kinds, but for Events and for
// Endpoints, about which kubectl warns (the EndpointSlices say the same).
func objects(t *testing.T, scope string, where ...string) []string {
	t.Helper()
	kinds := slices.DeleteFunc(strings.Fields(cluster.Kubectl(t, "api-resources", "--verbs=list", "-o", "name", scope)), func(kind string) bool {
		return strings.HasPrefix(kind, "events") || kind == "endpoints"
	})
	names := strings.Fields(cluster.Kubectl(t, append([]string{"get", strings.Join(kinds, ","), "-o", "name"}, where...)...))
	slices.Sort(names)
	return names
}

// TestOlderAndNewerSideBySide stops an upgrade when replicas of both versions
// serve, and goes on with the work. No request is lost on the whole way.
func TestOlderAndNewerSideBySide(t *testing.T) {
	s := cluster.NewSite(t)
	s.Migrate(50)
	stream := s.Stream()
	reinstalled(t)
	cluster.InstallOlder(t)

	// A pod that is ready counts as available after an hour only: the rollout
	// stays where one new replica serves beside the older ones.
	patchProxy(t, fmt.Sprintf(`{"spec": {"minReadySeconds": 3600, "progressDeadlineSeconds": 7200, "template": {"spec": {"containers": [{"name": %q, "image": %q}]}}}}`,
		proxyContainer(t), cluster.CurrentImage()))
	awaitVersions(t, world.OlderVersion, world.CurrentVersion)
	for _, percent := range []string{"80", "100", "50"} {
		s.Proxy(t, "update", s.Service, percent)
	}
	s.ExpectSplit(50)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")))

	patchProxy(t, `{"spec": {"minReadySeconds": 0, "progressDeadlineSeconds": 600}}`)
	cluster.AwaitRollout(t, world.Deployment)
	cluster.Install(t)
	awaitVersions(t, world.CurrentVersion)
	s.ExpectSplit(50)
	require.NoError(t, world.InPhase(migrating)(s.GetIngress("shop")))
	stream.StopLossless()
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

// awaitVersions waits until the ready proxies are of exactly these versions.
func awaitVersions(t *testing.T, want ...string) {
	t.Helper()
	if !cluster.OwnImages() {
		return // they say what they like
	}
	world.Await(t, fmt.Sprint("replicas of ", want), func(ctx context.Context) error {
		got, err := cluster.ReadyVersions(ctx)
		if err == nil && fmt.Sprint(got) != fmt.Sprint(want) {
			err = fmt.Errorf("they are %v", got)
		}
		return err
	})
}
