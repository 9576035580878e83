package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// release is the name that Helm knows the installation by.
const release = "migration-proxy"

// smaller are the chart's values that differ from its defaults: replicas are
// counted, so they must not grow by themselves; a pod that ends lingers for
// seconds, because our controller learns of it in milliseconds.
var smaller = []string{
	"proxy.autoscaling.enabled=false", "proxy.replicas=2", "proxy.lingerSeconds=3", "proxy.terminationGracePeriodSeconds=30",
	"proxy.resources.requests.cpu=50m",
}

// chartCommand is `helm upgrade --install` of the chart with an image.
func (c *Cluster) chartCommand(image string, more ...string) Command {
	repository, tag, _ := cutLast(image, ":")
	args := []string{
		"upgrade", "--install", release, filepath.Join(c.root, "deploy", "chart"), "--namespace", Namespace,
		"--set", "image.repository=" + repository, "--set", "image.tag=" + tag, "--wait", "--timeout", commandPatience.String(),
	}
	for _, value := range append(smaller, more...) {
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

// install makes an empty migration config and installs the chart beside it.
func (c *Cluster) install(ctx context.Context) error {
	if err := c.EditConfig(ctx, func(text string) string { return text }); err != nil {
		return fmt.Errorf("create the migration config: %w", err)
	}
	return c.helm(ctx, c.chartCommand(c.images.current).Args...)
}

func (c *Cluster) helm(ctx context.Context, args ...string) error {
	result, err := c.command(ctx, "", nil, c.programs.helm, args...)
	if err == nil && result.Code != 0 {
		err = fmt.Errorf("helm %s ended with exit code %d:\n%s\n%s", args[0], result.Code, result.Output, c.Describe(ctx, Namespace))
	}
	return err
}

// uninstall removes what install made, with the namespace.
func (c *Cluster) uninstall(ctx context.Context) error {
	return errors.Join(c.clear(ctx), c.removeNamespace(ctx, Namespace))
}

// clear takes the chart away, whatever is left of it.
func (c *Cluster) clear(ctx context.Context) error {
	return c.helm(ctx, append(uninstallCommand().Args, "--ignore-not-found")...)
}

func uninstallCommand() Command {
	return Command{Program: "helm", Args: []string{"uninstall", release, "--namespace", Namespace, "--wait", "--timeout", commandPatience.String()}}
}

// Uninstall takes the chart away as a user does; namespace and migration
// config stay.
func (c *Cluster) Uninstall(t T) string {
	t.Helper()
	return c.Run(t, uninstallCommand())
}

// Install puts the chart into its namespace, or upgrades it, with the current
// program and more values; it waits until all is ready.
func (c *Cluster) Install(t T, values ...string) {
	t.Helper()
	c.Run(t, c.chartCommand(c.images.current, values...))
}

// Reinstall is Install after a scenario that has left anything behind.
func (c *Cluster) Reinstall(t T) {
	t.Helper()
	must(t, c.clear(t.Context()), "take the chart away")
	c.Install(t)
}

// InstallOlder is Install with the older program.
func (c *Cluster) InstallOlder(t T, values ...string) {
	t.Helper()
	c.Run(t, c.chartCommand(c.images.older, values...))
}

// CurrentImage is what Install runs.
func (c *Cluster) CurrentImage() string { return c.images.current }

// What the replicas of Install and InstallOlder call themselves, with OwnImages.
const (
	CurrentVersion = currentVersion
	OlderVersion   = olderVersion
)

// OwnImages tells whether the images are those of make e2e and make e2e-kind,
// not some that the environment names.
func (c *Cluster) OwnImages() bool {
	return os.Getenv(imageVariable) == "" && os.Getenv(olderVariable) == ""
}

// Pods gives the Pods of the installation that belong to a Deployment, those
// that end included.
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

// Scale sets a Deployment's replicas and waits until there are as many ready
// ones, and no others.
func (c *Cluster) Scale(t T, deployment string, replicas int) {
	t.Helper()
	c.Kubectl(t, "scale", "deployment", deployment, "--namespace", Namespace, fmt.Sprintf("--replicas=%d", replicas))
	Await(t, fmt.Sprintf("%d pods of %s", replicas, deployment), func(ctx context.Context) error {
		return c.Settled(ctx, deployment, replicas)
	})
}

// Settled gives nil if a Deployment has as many Pods, all ready, and no others.
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

// AwaitRollout waits until a Deployment has only Pods of its newest template.
func (c *Cluster) AwaitRollout(t T, deployment string) {
	t.Helper()
	c.Kubectl(t, "rollout", "status", "deployment", deployment, "--namespace", Namespace, "--timeout", commandPatience.String())
}

// Kill ends a Pod of the installation at once, as the loss of its node does.
func (c *Cluster) Kill(t T, pod string) {
	t.Helper()
	c.Kubectl(t, "delete", "pod", pod, "--namespace", Namespace, "--force", "--grace-period=0")
}

// Leader is the Pod that the watcher runs in; "" if nobody leads.
func (c *Cluster) Leader(ctx context.Context) (string, error) {
	lease, err := c.Client.CoordinationV1().Leases(Namespace).Get(ctx, Lease, metav1.GetOptions{})
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", notFoundIsFine(err)
	}
	pod, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_") // POD_UUID
	return pod, nil
}
