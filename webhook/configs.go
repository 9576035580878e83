package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/migration"
)

// configs refuses a migration config that would not load.
type configs struct {
	name string // the ConfigMap that the proxies read
	view *View
}

// decide tells all problems at once. What an edit does not touch it does not
// answer for: the text may have become invalid with a new version of this
// program, and its labels must be editable still.
func (h *configs) decide(_ context.Context, request admission.Request) (answer, error) {
	if request.Operation == admissionv1.Delete {
		return pass(resultAllowed, "the proxies go on with the last good config; to end a migration set enabled: false, "+
			"or use migration-proxy restore --all"), nil
	}
	newer, err := decodeConfigMap(request.Object.Raw)
	if err != nil {
		return answer{}, err
	}
	older, err := decodeConfigMap(request.OldObject.Raw)
	if err != nil {
		return answer{}, err
	}
	if request.Name != h.name && newer.Labels[ingressgen.LabelConfig] != "true" {
		return pass(resultAllowed), nil // its label was just taken away
	}
	return h.judge(newer, older), nil
}

// decodeConfigMap gives an empty one for nothing: there is no old object when
// one is created.
func decodeConfigMap(raw []byte) (*corev1.ConfigMap, error) {
	var configMap corev1.ConfigMap
	if len(raw) == 0 {
		return &configMap, nil
	}
	if err := json.Unmarshal(raw, &configMap); err != nil {
		return nil, fmt.Errorf("read the ConfigMap: %w", err)
	}
	return &configMap, nil
}

func (h *configs) judge(newer, older *corev1.ConfigMap) answer {
	table, err := read(newer)
	switch {
	case err != nil && sameText(newer, older):
		first, _, _ := strings.Cut(err.Error(), "\n")
		return pass(resultAllowed, "the config was invalid before and is still, the proxies go on with the last good one: "+first)
	case err != nil:
		return denied(newer.Name, causes(err))
	}
	warnings := otherKeys(newer)
	if newer.Name == h.name {
		warnings = append(warnings, table.Risks(h.view.now.Load().table)...)
	}
	return pass(resultAllowed, warnings...)
}

func read(configMap *corev1.ConfigMap) (*migration.Table, error) {
	text, err := objectOf(configMap).ConfigText(configMap)
	if err != nil {
		return nil, err
	}
	return config.Load(names.ConfigKey, text)
}

// sameText is also when both have none.
func sameText(newer, older *corev1.ConfigMap) bool {
	text, err := objectOf(newer).ConfigText(newer)
	before, errBefore := objectOf(older).ConfigText(older)
	created := older.Name == ""
	return !created && bytes.Equal(text, before) && (err == nil) == (errBefore == nil)
}

func objectOf(configMap *corev1.ConfigMap) kube.NamedConfigMap {
	return kube.NamedConfigMap{Namespace: configMap.Namespace, Name: configMap.Name}
}

func otherKeys(configMap *corev1.ConfigMap) []string {
	keys := slices.Concat(slices.Collect(maps.Keys(configMap.Data)), slices.Collect(maps.Keys(configMap.BinaryData)))
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == names.ConfigKey })
	if len(keys) == 0 {
		return nil
	}
	slices.Sort(keys)
	return []string{fmt.Sprintf("only key %s is read, and not %s", names.ConfigKey, strings.Join(keys, ", "))}
}

// causes are the problems, each with its place as the field: kubectl edit
// opens the editor again with them on top.
func causes(err error) []metav1.StatusCause {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []metav1.StatusCause{{Field: "data", Message: err.Error()}} // there is no text
	}
	found := make([]metav1.StatusCause, len(problems))
	for i, problem := range problems {
		place, message, _ := strings.Cut(problem.String(), ": ")
		found[i] = metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: place, Message: message}
	}
	return found
}

// denied is 422 Invalid, by which kubectl shows each cause on a line of its
// own. Other clients show the message, which has them all too.
func denied(name string, causes []metav1.StatusCause) answer {
	lines := make([]string, len(causes))
	for i, cause := range causes {
		lines[i] = cause.Field + ": " + cause.Message
	}
	response := admission.Denied(strings.Join(lines, "\n"))
	response.Result.Code, response.Result.Reason = http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	response.Result.Details = &metav1.StatusDetails{Kind: "ConfigMap", Name: name, Causes: causes}
	return answer{response, resultDenied}
}
