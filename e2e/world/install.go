package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// release is the name of the Helm release.
const release = "migration-proxy"

// testValues are the chart values that differ from the defaults: a fixed number of
// replicas, because scenarios count them, and a short linger time, because our ingress
// controller sees changes within milliseconds. It knows canary annotations.
var testValues = []string{
	"proxy.autoscaling.enabled=false", "proxy.replicas=2", "proxy.lingerSeconds=3", "proxy.terminationGracePeriodSeconds=30",
	"proxy.resources.requests.cpu=50m", "webhook.anchorSettle=3s", "webhook.canaryControllers={" + ClassOf(wire.Plain).Controller + "}",
}

// chartCommand is `helm upgrade --install` of the chart with an image.
func (c *Cluster) chartCommand(image string, more ...string) Command {
	repository, tag, _ := cutLast(image, ":")
	args := []string{
		"upgrade", "--install", release, filepath.Join(c.root, "deploy", "chart"), "--namespace", Namespace,
		"--set", "image.repository=" + repository, "--set", "image.tag=" + tag, "--wait", "--timeout", commandTimeout.String(),
	}
	for _, value := range append(testValues, more...) {
		args = append(args, "--set", value)
	}
	return Command{Program: "helm", Args: args}
}

func cutLast(text, separator string) (before, after string, found bool) {
	at := strings.LastIndex(text, separator)
	if at < 0 {
		return text, "", false
	}
	return text[:at], text[at+len(separator):], true
}

// install creates an empty migration config and installs the chart.
func (c *Cluster) install(ctx context.Context) error {
	if err := c.EditConfig(ctx, func(text string) string { return text }); err != nil {
		return fmt.Errorf("create the migration config: %w", err)
	}
	if err := c.helm(ctx, c.chartCommand(c.images.current).Args...); err != nil {
		return err
	}
	return c.waitForAdmission(ctx)
}

func (c *Cluster) helm(ctx context.Context, args ...string) error {
	result, err := c.command(ctx, "", nil, c.programs.helm, args...)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("helm %s ended with exit code %d:\n%s\n%s", args[0], result.Code, result.Output, c.Describe(ctx, Namespace))
	}
	return err
}

// uninstall removes what install created, and the namespace.
func (c *Cluster) uninstall(ctx context.Context) error {
	return errors.Join(c.clear(ctx), c.removeNamespace(ctx, Namespace))
}

// clear uninstalls the chart, if it is installed.
func (c *Cluster) clear(ctx context.Context) error {
	return c.helm(ctx, append(uninstallCommand().Args, "--ignore-not-found")...)
}

func uninstallCommand() Command {
	return Command{Program: "helm", Args: []string{"uninstall", release, "--namespace", Namespace, "--wait", "--timeout", commandTimeout.String()}}
}

// Uninstall uninstalls the chart as a user does. Namespace and migration config stay.
func (c *Cluster) Uninstall(t T) string {
	t.Helper()
	return c.Run(t, uninstallCommand())
}

// HelmTest runs helm test.
func (c *Cluster) HelmTest(t T) string {
	t.Helper()
	return c.Run(t, Command{Program: "helm", Args: []string{"test", release, "--namespace", Namespace, "--timeout", commandTimeout.String()}})
}

// Install installs or upgrades the chart with the current image and additional values.
// It waits until everything is ready, and the API server reaches the webhook.
func (c *Cluster) Install(t T, values ...string) {
	t.Helper()
	c.Run(t, c.chartCommand(c.images.current, values...))
	must(t, c.waitForAdmission(t.Context()), "install the chart")
}

// InstallElsewhere is the command that installs the chart in another namespace.
func (c *Cluster) InstallElsewhere(namespace string) Command {
	command := c.chartCommand(c.images.current)
	command.Args[slices.Index(command.Args, "--namespace")+1] = namespace
	return command
}

// ApplyTemplate applies what helm template prints for the installed chart, hooks
// among it, with kubectl.
func (c *Cluster) ApplyTemplate(t T) {
	t.Helper()
	install := c.chartCommand(c.images.current).Args
	rendered := c.Run(t, Command{Program: "helm", Args: append([]string{"template"}, install[2:]...)}) // without upgrade --install
	c.Run(t, Command{Program: "kubectl", Args: []string{"apply", "-f", "-"}, Input: rendered})
}

// Rollback goes back to the revision before.
func (c *Cluster) Rollback(t T) {
	t.Helper()
	c.Run(t, Command{Program: "helm", Args: []string{"rollback", release, "--namespace", Namespace, "--wait", "--timeout", commandTimeout.String()}})
}

// Reinstall installs the chart again after a failed scenario. It leaves out the hooks,
// which the scenario may have broken: a failed one leaves a release that no later
// command of Helm accepts.
func (c *Cluster) Reinstall(t T) {
	t.Helper()
	args := append(uninstallCommand().Args, "--ignore-not-found", "--no-hooks")
	must(t, c.helm(t.Context(), args...), "take the chart away")
	c.Install(t)
}

// InstallOlder is Install with the older image.
func (c *Cluster) InstallOlder(t T, values ...string) {
	t.Helper()
	c.Run(t, c.chartCommand(c.images.older, values...))
}

// CurrentImage is the image that Install uses.
func (c *Cluster) CurrentImage() string { return c.images.current }

// The versions that the replicas of Install and InstallOlder report, with OwnImages.
const (
	CurrentVersion = currentVersion
	OlderVersion   = olderVersion
)

// OwnImages tells whether the images are those of make e2e and make e2e-kind, and not
// images that the environment names.
func (c *Cluster) OwnImages() bool {
	return os.Getenv(imageVariable) == "" && os.Getenv(olderVariable) == ""
}

// Pods gives the Pods of one of the installation's Deployments, also those that are
// terminating.
func (c *Cluster) Pods(ctx context.Context, deployment string) ([]corev1.Pod, error) {
	object, err := c.Client.AppsV1().Deployments(Namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	list, err := c.Client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(object.Spec.Selector),
	})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// Scale sets the replicas of a Deployment and waits until it has exactly that many
// Pods, all ready. The API server reaches those of the webhook then.
func (c *Cluster) Scale(t T, deployment string, replicas int) {
	t.Helper()
	c.Kubectl(t, "scale", "deployment", deployment, "--namespace", Namespace, fmt.Sprintf("--replicas=%d", replicas))
	Eventually(t, fmt.Sprintf("%d pods of %s", replicas, deployment), func(ctx context.Context) error {
		return c.Settled(ctx, deployment, replicas)
	})
	if deployment == Webhook && replicas > 0 {
		must(t, c.waitForAdmission(t.Context()), "scale %s", deployment)
	}
}

// Settled gives nil if a Deployment has exactly that many Pods, all ready.
func (c *Cluster) Settled(ctx context.Context, deployment string, replicas int) error {
	pods, err := c.Pods(ctx, deployment)
	ready := 0
	for i := range pods {
		if podReady(&pods[i]) {
			ready++
		}
	}
	if err == nil && (ready != replicas || len(pods) != replicas) {
		err = fmt.Errorf("%d pods, %d ready", len(pods), ready)
	}
	return err
}

// WaitForRollout waits until all Pods of a Deployment have its newest template.
func (c *Cluster) WaitForRollout(t T, deployment string) {
	t.Helper()
	c.Kubectl(t, "rollout", "status", "deployment", deployment, "--namespace", Namespace, "--timeout", commandTimeout.String())
}

// Kill deletes a Pod without its grace period, like the loss of its node.
func (c *Cluster) Kill(t T, pod string) {
	t.Helper()
	c.Kubectl(t, "delete", "pod", pod, "--namespace", Namespace, "--force", "--grace-period=0")
}

// KillLeader kills the watcher's leader when another Pod has its place in the Service of
// the webhook, so that scenarios beside this one meet no dead replica. It waits until
// another Pod leads.
func (c *Cluster) KillLeader(t T) {
	t.Helper()
	before, err := c.Leader(t.Context())
	must(t, err, "find the leader")
	object, err := c.Client.AppsV1().Deployments(Namespace).Get(t.Context(), Webhook, metav1.GetOptions{})
	must(t, err, "find the webhook")
	for label := range object.Spec.Selector.MatchLabels {
		c.Kubectl(t, "label", "pod", before, "--namespace", Namespace, "--overwrite", label+"=apart")
		break
	}
	Eventually(t, "a Pod in the place of "+before, func(ctx context.Context) error { return c.Settled(ctx, Webhook, 2) })
	c.Kill(t, before)
	Eventually(t, "a leader other than "+before, func(ctx context.Context) error {
		after, err := c.Leader(ctx)
		if err == nil && (after == "" || after == before) {
			err = fmt.Errorf("it is %q", after)
		}
		return err
	})
}

// Leader is the name of the Pod that holds the lease, or "".
func (c *Cluster) Leader(ctx context.Context) (string, error) {
	lease, err := c.Client.CoordinationV1().Leases(Namespace).Get(ctx, Lease, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", ignoreNotFound(err)
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_") // POD_UUID
	return pod, nil
}
