package webhook

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// TestConfigEdits: a bad edit is denied with all problems; a good edit passes, with
// warnings; other ConfigMaps pass without a call.
func TestConfigEdits(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	configMaps := s.CoreV1().ConfigMaps(s.own)
	own, err := configMaps.Get(t.Context(), names.ConfigMap, metav1.GetOptions{})
	require.NoError(t, err)

	bad := own.DeepCopy()
	bad.Data[names.ConfigKey] = strings.NewReplacer("percentage: 20", "percentage: 200", "old_host", "old_hots").Replace(own.Data[names.ConfigKey])
	_, err = configMaps.Update(t.Context(), bad, metav1.UpdateOptions{})
	require.True(t, apierrors.IsInvalid(err), err)
	require.ErrorContains(t, err, `migration.yaml:4:5: services[0].old_hots: unknown key; did you mean "old_host"?`)
	require.ErrorContains(t, err, `migration.yaml:8:44: services[0].migration.percentage`)

	unlabeled := bad.DeepCopy()
	unlabeled.Labels = nil
	_, err = configMaps.Update(t.Context(), unlabeled, metav1.UpdateOptions{})
	require.True(t, apierrors.IsInvalid(err), "also without the label: the proxies read it by name")

	good := own.DeepCopy()
	good.Data[names.ConfigKey] = strings.ReplaceAll(own.Data[names.ConfigKey], "percentage: 20", "percentage: 25")
	good.Data["notes"] = "hello"
	_, err = configMaps.Update(t.Context(), good, metav1.UpdateOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"migration-proxy: only key migration.yaml is read, and not notes"}, s.warnings.take())

	calls := s.count("config")
	other := bad.DeepCopy()
	other.ObjectMeta = metav1.ObjectMeta{Name: "other"}
	_, err = configMaps.Create(t.Context(), other, metav1.CreateOptions{})
	require.NoError(t, err, "neither the name nor the label")
	require.Equal(t, calls, s.count("config"))

	require.NoError(t, configMaps.Delete(t.Context(), names.ConfigMap, metav1.DeleteOptions{}))
	require.Contains(t, strings.Join(s.warnings.take(), ""), "the proxies go on with the last good config")
}

// TestKubectlEdit: the first save has a mistake. kubectl opens the editor again
// with the place of the mistake on top, and the second save is stored.
func TestKubectlEdit(t *testing.T) {
	t.Parallel()
	s, dir := newInstallation(t), t.TempDir()
	editor := filepath.Join(dir, "editor")
	require.NoError(t, os.WriteFile(editor, []byte(`#!/bin/sh
if [ -e `+dir+`/seen ]; then
  cp "$1" `+dir+`/second
  sed -i 's/percentage: 200/percentage: 30/' "$1"
else
  touch `+dir+`/seen
  sed -i 's/percentage: 20/percentage: 200/' "$1"
fi
`), 0o700))
	kubectl(t, "KUBE_EDITOR="+editor, "edit", "configmap", names.ConfigMap, "--namespace", s.own)
	second, err := os.ReadFile(filepath.Join(dir, "second"))
	require.NoError(t, err)
	require.Contains(t, string(second), "# * migration.yaml:8:44: services[0].migration.percentage")
	own, err := s.CoreV1().ConfigMaps(s.own).Get(t.Context(), names.ConfigMap, metav1.GetOptions{})
	require.NoError(t, err)
	require.Contains(t, own.Data[names.ConfigKey], "percentage: 30")
}

// TestKubectlAnnotate: the user opts an Ingress in, and out again.
func TestKubectlAnnotate(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	plain := ingress("api", "web", 80)
	plain.Annotations = nil
	_, err := s.NetworkingV1().Ingresses(s.apps).Create(t.Context(), plain, metav1.CreateOptions{})
	require.NoError(t, err)
	annotate := func(value string) {
		kubectl(t, "", "annotate", "--overwrite", "ingress", "api", "--namespace", s.apps, value)
	}
	annotate(ingressgen.AnnotationEnabled + "=true")
	stored, err := s.NetworkingV1().Ingresses(s.apps).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	requireWaiting(t, stored)
	require.Equal(t, proxyOf(80), backendOf(s.switchToProxy(t, "api")))
	annotate(ingressgen.AnnotationEnabled + "-")
	stored, err = s.NetworkingV1().Ingresses(s.apps).Get(t.Context(), "api", metav1.GetOptions{})
	require.NoError(t, err)
	requireAsWritten(t, stored)
	require.Equal(t, plain.Spec, stored.Spec)
}

func kubectl(t *testing.T, environment string, args ...string) string {
	t.Helper()
	program, err := controlplane.Program("kubectl")
	require.NoError(t, err)
	command := exec.CommandContext(t.Context(), program, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+plane.Kubeconfig(), "HOME="+t.TempDir(), environment)
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	require.NoError(t, command.Run(), output.String())
	return output.String()
}
