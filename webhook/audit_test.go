package webhook

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/journal"
)

// as is the client of another user.
func (s *installation) as(t *testing.T, user string) *kubernetes.Clientset {
	t.Helper()
	config := plane.Config()
	config.Impersonate.UserName, config.Impersonate.Groups = user, []string{"system:masters"}
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	return client
}

// authors are those that the notes have, in order.
func (s *installation) authors(t *testing.T) []string {
	t.Helper()
	found, err := s.CoreV1().ConfigMaps(s.own).Get(t.Context(), names.AuditMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	require.NoError(t, err)
	require.Len(t, found.Data, 1, "one process, one key")
	authors := []string{}
	for _, text := range found.Data {
		for _, note := range journal.ParseNotes(text) {
			authors = append(authors, note.Object+" by "+note.By)
		}
	}
	return authors
}

func (s *installation) waitForAuthors(t *testing.T, authors ...string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Join(s.authors(t), ", ") == strings.Join(authors, ", ") },
		10*time.Second, 10*time.Millisecond, "%v", authors)
}

func (s *installation) configWith(percentage string) string {
	return strings.ReplaceAll(installationConfig(s.apps), "percentage: 20", "percentage: "+percentage)
}

// TestAuthors: admission leaves who changes the config and who opts Ingresses in and out,
// by any client, and nothing for a dry run, another setting of the object or a refusal.
func TestAuthors(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	alice, argo := s.as(t, "alice"), s.as(t, "argocd")
	patch := []byte(`{"data":{"` + names.ConfigKey + `":` + quoted(s.configWith("25")) + `}}`)

	_, err := alice.CoreV1().ConfigMaps(s.own).Patch(t.Context(), names.ConfigMap, types.MergePatchType, patch, metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	_, err = alice.CoreV1().ConfigMaps(s.own).Patch(t.Context(), names.ConfigMap, types.MergePatchType, []byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{})
	require.NoError(t, err)
	_, err = alice.CoreV1().ConfigMaps(s.own).Patch(t.Context(), names.ConfigMap, types.MergePatchType, []byte(`{"data":{"`+names.ConfigKey+`":"no"}}`), metav1.PatchOptions{})
	require.True(t, apierrors.IsInvalid(err), err)

	_, err = alice.CoreV1().ConfigMaps(s.own).Patch(t.Context(), names.ConfigMap, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "script"})
	require.NoError(t, err)
	s.waitForAuthors(t, "config by alice (script)")
	require.Contains(t, s.log.String(), `change="api percentage 20 -> 25" by=alice manager=script`)

	applied := applycorev1.ConfigMap(names.ConfigMap, s.own).WithData(map[string]string{names.ConfigKey: s.configWith("30")})
	_, err = argo.CoreV1().ConfigMaps(s.own).Apply(t.Context(), applied, metav1.ApplyOptions{FieldManager: "argocd-controller", Force: true})
	require.NoError(t, err)
	s.waitForAuthors(t, "config by alice (script)", "config by argocd (argocd-controller)")

	s.kubectlEdit(t, "s/percentage: 30/percentage: 40/")
	require.Eventually(t, func() bool { return len(s.authors(t)) == 3 }, 10*time.Second, 10*time.Millisecond)
	require.Contains(t, s.authors(t)[2], "(kubectl-edit)")
	edited := s.authors(t)[2]

	_, err = alice.NetworkingV1().Ingresses(s.apps).Create(t.Context(), ingress("audited", "web", 80), metav1.CreateOptions{FieldManager: "deploy"})
	require.NoError(t, err)
	_, err = alice.NetworkingV1().Ingresses(s.apps).Patch(t.Context(), "audited", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+ingressgen.AnnotationEnabled+`":"false"}}}`), metav1.PatchOptions{FieldManager: "script"})
	require.NoError(t, err)
	object := s.apps + "/audited by "
	s.waitForAuthors(t, "config by alice (script)", "config by argocd (argocd-controller)", edited, object+"alice (deploy)", object+"alice (script)")
	require.NotContains(t, s.log.String(), "20 -> 25\" by=alice manager=\"\"", "the dry run")
}

func quoted(text string) string {
	encoded, _ := json.Marshal(text) // a string always has a text
	return string(encoded)
}

// kubectlEdit edits the config by the real kubectl, with sed as the editor.
func (s *installation) kubectlEdit(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	editor := filepath.Join(dir, "editor")
	require.NoError(t, os.WriteFile(editor, []byte("#!/bin/sh\nsed -i '"+script+"' \"$1\"\n"), 0o700))
	kubectl(t, "KUBE_EDITOR="+editor, "edit", "configmap", names.ConfigMap, "--namespace", s.own)
}

// TestAuditAnnotation: the API server's audit log gets the change, also of a dry run.
func TestAuditAnnotation(t *testing.T) {
	t.Parallel()
	s := newInstallation(t)
	object := func(percentage string) runtime.RawExtension {
		return runtime.RawExtension{Raw: []byte(`{"metadata":{"name":"` + names.ConfigMap + `"},"data":{"` + names.ConfigKey + `":` + quoted(s.configWith(percentage)) + `}}`)}
	}
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		Name: names.ConfigMap, Namespace: s.own, Operation: admissionv1.Update, DryRun: new(true), Object: object("25"), OldObject: object("20"),
		UserInfo: authenticationv1.UserInfo{Username: "alice"},
	}}
	response := s.admission.configs.Handle(t.Context(), request)
	require.True(t, response.Allowed)
	require.Equal(t, map[string]string{"change": "api percentage 20 -> 25"}, response.AuditAnnotations)
	require.Empty(t, s.authors(t))
}
