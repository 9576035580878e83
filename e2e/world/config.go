package world

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
)

// The names of the installation, as the documentation has them.
const (
	Namespace    = "migration-proxy"
	ConfigMap    = "migration-config"
	ConfigKey    = "migration.yaml"
	ConfigLabel  = "migration-proxy.io/config"
	StateMap     = "migration-state"
	ProxyService = "migration-proxy"
	Managed      = "app.kubernetes.io/managed-by=migration-proxy" // selects what is generated
	Deployment   = "migration-proxy"
	Webhook      = "migration-proxy-webhook"
	Lease        = "migration-proxy-watcher"
	// Annotations is the prefix of our annotations.
	Annotations = "migration-proxy.io/"
)

const (
	configHead  = "services:\n"
	configEmpty = "services: []\n"
	entryBegin  = "  - name: "
)

// ConfigText is the live migration config.
func (c *Cluster) ConfigText(t T) string {
	t.Helper()
	object, err := c.Client.CoreV1().ConfigMaps(Namespace).Get(t.Context(), ConfigMap, metav1.GetOptions{})
	must(t, err, "get the migration config")
	return object.Data[ConfigKey]
}

// EditConfig changes the migration config and retries on conflicts. It gives the API
// server's error.
func (c *Cluster) EditConfig(ctx context.Context, change func(text string) string) error {
	c.edits.RLock()
	defer c.edits.RUnlock()
	maps := c.Client.CoreV1().ConfigMaps(Namespace)
	return retry.RetryOnConflict(manyRetries, func() error {
		object, err := maps.Get(ctx, ConfigMap, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = maps.Create(ctx, newConfigMap(change(configEmpty)), metav1.CreateOptions{})
			return err
		}
		if err != nil {
			return err
		}
		before := object.Data[ConfigKey]
		if object.Data == nil {
			object.Data = map[string]string{}
		}
		object.Data[ConfigKey] = change(before)
		if object.Data[ConfigKey] == before {
			return nil
		}
		_, err = maps.Update(ctx, object, metav1.UpdateOptions{})
		return err
	})
}

// waitForAdmission waits until the API server reaches the webhook. Pods can be ready
// before every node, the API server's among them, has their addresses behind the
// ClusterIP. The write is a dry run; an invalid config, which a scenario may have left,
// is refused by the webhook, so that is an answer too.
func (c *Cluster) waitForAdmission(ctx context.Context) error {
	maps := c.Client.CoreV1().ConfigMaps(Namespace)
	return poll(ctx, "the webhook at its ClusterIP", func(ctx context.Context) error {
		object, err := maps.Get(ctx, ConfigMap, metav1.GetOptions{})
		if err != nil {
			return err
		}
		_, err = maps.Update(ctx, object, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), "denied the request") {
			return nil
		}
		return err
	})
}

// manyRetries is for many scenarios that edit one object.
var manyRetries = func() wait.Backoff {
	b := retry.DefaultBackoff
	b.Steps = 20
	return b
}()

func newConfigMap(text string) *corev1.ConfigMap {
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: ConfigMap, Labels: map[string]string{ConfigLabel: "true"}},
		Data:       map[string]string{ConfigKey: text},
	}
}

// With replaces the entry of a service, or adds it at the end.
func With(all, service, entry string) string {
	if strings.Contains(all, entryBegin+service+"\n") {
		head, _, rest := cut(all, service)
		return head + entry + rest
	}
	if rest, empty := strings.CutSuffix(all, configEmpty); empty {
		return rest + configHead + entry
	}
	return all + entry
}

// without removes the entry of a service.
func without(all, service string) string {
	if !strings.Contains(all, entryBegin+service+"\n") {
		return all
	}
	head, _, rest := cut(all, service)
	if before, only := strings.CutSuffix(head, configHead); only && rest == "" {
		return before + configEmpty
	}
	return head + rest
}

// cut splits the text before and after the entry of a service, which ends at the next
// entry or at the end of the text.
func cut(all, service string) (head, entry, rest string) {
	begin := strings.Index(all, entryBegin+service+"\n")
	end := len(all)
	if next := strings.Index(all[begin+1:], "\n"+entryBegin); next >= 0 {
		end = begin + 1 + next + 1
	}
	return all[:begin], all[begin:end], all[end:]
}

// KubectlEdit runs `kubectl edit` of the migration config with a sed script as the
// editor. When an edit is refused, kubectl opens the editor again and gives up when
// the text stays the same.
func (c *Cluster) KubectlEdit(t T, sed string) Result {
	t.Helper()
	c.edits.Lock()
	defer c.edits.Unlock()
	return c.Try(t, Command{
		Program: "kubectl", Args: []string{"edit", "configmap", ConfigMap, "--namespace", Namespace},
		Env: []string{"KUBE_EDITOR=sed -i -E '" + strings.ReplaceAll(sed, "'", `'\''`) + "'"},
	})
}
