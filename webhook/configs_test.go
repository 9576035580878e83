package webhook

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"
	"sigs.k8s.io/yaml"

	"github.com/migration-proxy/migration-proxy/internal/golden"
)

// TestConfigs answers the requests in testdata/configs/*.txtar: ConfigMap
// "new" replaces "old" (a missing one does not exist), while the view knows
// service api of known. The answer is section "want".
func TestConfigs(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/configs/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			require.NoError(t, err)
			got := answerTo(t, sections(archive))
			kept := &txtar.Archive{Comment: archive.Comment}
			for _, section := range archive.Files {
				if section.Name != "want" {
					kept.Files = append(kept.Files, section)
				}
			}
			kept.Files = append(kept.Files, txtar.File{Name: "want", Data: []byte(got)})
			golden.Check(t, file, txtar.Format(kept))
		})
	}
}

func sections(archive *txtar.Archive) map[string][]byte {
	found := map[string][]byte{}
	for _, section := range archive.Files {
		found[section.Name] = section.Data
	}
	return found
}

func answerTo(t *testing.T, sections map[string][]byte) string {
	t.Helper()
	request := admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{Operation: admissionv1.Update}}
	for name, into := range map[string]*runtime.RawExtension{"new": &request.Object, "old": &request.OldObject} {
		text, ok := sections[name]
		if !ok {
			request.Operation = map[string]admissionv1.Operation{"new": admissionv1.Delete, "old": admissionv1.Create}[name]
			continue
		}
		var meta metav1.PartialObjectMetadata
		require.NoError(t, yaml.Unmarshal(text, &meta))
		request.Name, request.Namespace = meta.Name, meta.Namespace
		raw, err := yaml.YAMLToJSON(text)
		require.NoError(t, err)
		into.Raw = raw
	}
	handler := New(Options{View: known(), Log: quiet}).configs
	return shown(handler.Handle(t.Context(), request))
}

// shown is what a user sees of an answer.
func shown(response admission.Response) string {
	lines := make([]string, 0, 1+len(response.Warnings))
	for _, warning := range response.Warnings {
		lines = append(lines, "Warning: "+warning)
	}
	if response.Allowed {
		return strings.Join(append(lines, "allowed\n"), "\n")
	}
	result := response.Result
	lines = append(lines, "denied: "+string(result.Reason), result.Message)
	if result.Details == nil {
		return strings.Join(lines, "\n") + "\n"
	}
	lines = append(lines, "causes of "+result.Details.Kind+" "+result.Details.Name+":")
	for _, cause := range result.Details.Causes {
		lines = append(lines, "* "+cause.Field+": "+cause.Message)
	}
	return strings.Join(lines, "\n") + "\n"
}
