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

// TestConfigs sends the requests of testdata/configs/*.txtar: ConfigMap "new"
// replaces "old" (a missing one does not exist), while syncedCache is in force.
// Section "want" has the response as a user sees it.
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
			got := respond(t, sections(archive))
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
	byName := map[string][]byte{}
	for _, section := range archive.Files {
		byName[section.Name] = section.Data
	}
	return byName
}

func respond(t *testing.T, sections map[string][]byte) string {
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
	configs := New(Options{Cache: syncedCache(), Log: quiet}).configs
	return formatResponse(configs.Handle(t.Context(), request))
}

// formatResponse is what a user sees of a response.
func formatResponse(response admission.Response) string {
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
