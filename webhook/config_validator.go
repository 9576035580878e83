package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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
	"github.com/migration-proxy/migration-proxy/ramp"
)

// configValidator denies a migration config that would not load.
type configValidator struct {
	name  string // the ConfigMap that the proxies read
	cache *ConfigCache
	audit audit
}

// decide reports all problems at once. It judges only edits of the text: an old
// text may have become invalid with a new version of this program, and labels
// must stay editable.
func (h *configValidator) decide(_ context.Context, request admission.Request) (decision, error) {
	if request.Operation == admissionv1.Delete {
		return allow(resultAllowed, "the proxies go on with the last good config; to end a migration set enabled: false, "+
			"or use migration-proxy restore --all"), nil
	}
	configMap, err := decodeConfigMap(request.Object.Raw)
	if err != nil {
		return decision{}, err
	}
	before, err := decodeConfigMap(request.OldObject.Raw)
	if err != nil {
		return decision{}, err
	}
	if request.Name != h.name && configMap.Labels[ingressgen.LabelConfig] != "true" {
		if kube.IsHashedConfigName(request.Name) {
			return allow(resultAllowed, kube.ConfigWarnings(configMap)...), nil
		}
		return allow(resultAllowed), nil // this edit removes its label
	}
	made := h.validate(configMap, before)
	if made.result == resultAllowed && configMap.Name == h.name {
		made.response.AuditAnnotations = h.audit.config(request, configMap, before)
	}
	return made, nil
}

// onError denies the config: an error that nobody sees would let a bad one pass.
func (h *configValidator) onError(err error) admission.Response {
	return admission.Errored(http.StatusInternalServerError, fmt.Errorf("check the migration config: %w", err))
}

// decodeConfigMap gives an empty ConfigMap for no object: a created one has no
// old object.
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

func (h *configValidator) validate(configMap, before *corev1.ConfigMap) decision {
	table, err := loadTable(configMap)
	switch {
	case err != nil && sameText(configMap, before):
		first, _, _ := strings.Cut(err.Error(), "\n")
		return allow(resultAllowed, "the config was invalid before and is still, the proxies go on with the last good one: "+first)
	case err != nil:
		return deny(configMap.Name, causes(err))
	}
	warnings := kube.ConfigWarnings(configMap)
	if configMap.Name == h.name {
		before := h.cache.current.Load().table
		warnings = append(append(warnings, table.Risks(before)...), newDoubts(table, before)...)
	}
	return allow(resultAllowed, warnings...)
}

// newDoubts are the steps of ramps that cannot be judged, without those that the table
// before already had.
func newDoubts(table, before *migration.Table) []string {
	var known, found []string
	if before != nil {
		known = doubts(before)
	}
	for _, doubt := range doubts(table) {
		if !slices.Contains(known, doubt) {
			found = append(found, doubt)
		}
	}
	return found
}

func doubts(table *migration.Table) []string {
	var texts []string
	services := table.Services()
	for i := range services {
		for _, doubt := range ramp.Doubts(&services[i], 0) {
			texts = append(texts, doubt.Text)
		}
	}
	return texts
}

func loadTable(configMap *corev1.ConfigMap) (*migration.Table, error) {
	text, err := namedConfigMap(configMap).ConfigText(configMap)
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfigBytes {
		return nil, fmt.Errorf("the config has %d bytes, and a ConfigMap holds at most %d", len(text), maxConfigBytes)
	}
	return config.Load(names.ConfigKey, text)
}

// maxConfigBytes is what the API server lets a ConfigMap have. Others can call the webhook
// too, and parsing takes 120 times as much memory.
const maxConfigBytes = 1 << 20

// sameText tells whether an update leaves the text as it was, or missing as it
// was.
func sameText(configMap, before *corev1.ConfigMap) bool {
	text, err := namedConfigMap(configMap).ConfigText(configMap)
	textBefore, errBefore := namedConfigMap(before).ConfigText(before)
	created := before.Name == ""
	return !created && bytes.Equal(text, textBefore) && (err == nil) == (errBefore == nil)
}

func namedConfigMap(configMap *corev1.ConfigMap) kube.NamedConfigMap {
	return kube.NamedConfigMap{Namespace: configMap.Namespace, Name: configMap.Name}
}

// causes gives each problem its place as the field: kubectl edit opens the
// editor again with the causes on top.
func causes(err error) []metav1.StatusCause {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return []metav1.StatusCause{{Field: "data", Message: err.Error()}} // the ConfigMap has no text
	}
	all := make([]metav1.StatusCause, len(problems))
	for i, problem := range problems {
		place, message, _ := strings.Cut(problem.String(), ": ")
		all[i] = metav1.StatusCause{Type: metav1.CauseTypeFieldValueInvalid, Field: place, Message: message}
	}
	return all
}

// deny answers 422 Invalid, for which kubectl shows each cause on a line of its
// own. Other clients show the message, which has all causes too.
func deny(name string, causes []metav1.StatusCause) decision {
	lines := make([]string, len(causes))
	for i, cause := range causes {
		lines[i] = cause.Field + ": " + cause.Message
	}
	response := admission.Denied(strings.Join(lines, "\n"))
	response.Result.Code, response.Result.Reason = http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	response.Result.Details = &metav1.StatusDetails{Kind: "ConfigMap", Name: name, Causes: causes}
	return decision{response, resultDenied}
}
