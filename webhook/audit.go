package webhook

import (
	"cmp"
	"log/slog"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/journal"
)

const (
	// annotationChange has the change in the API server's audit log, after the name of
	// the webhook.
	annotationChange = "change"
	maxChangeBytes   = 1024
)

// audit says who changes what: in the API server's audit log, in ours, and to the
// watcher. The request may still be refused, so it is the watcher that writes the Event
// and the entry of the journal.
type audit struct {
	notes *NoteWriter
	log   *slog.Logger
}

// config gives the audit annotations for an edit of the config.
func (a audit) config(request admission.Request, after, before *corev1.ConfigMap) map[string]string {
	if sameText(after, before) {
		return nil
	}
	text, _ := namedConfigMap(after).ConfigText(after) // it is valid
	textBefore, _ := namedConfigMap(before).ConfigText(before)
	change := "the config is new, or the one before was invalid"
	table, err := loadTable(after)
	if tableBefore, errBefore := loadTable(before); err == nil && errBefore == nil {
		change = cmp.Or(journal.Describe(journal.ConfigChanges(tableBefore, table)), "the config has the same settings in another text")
	}
	return a.record(request, change, managerOf(request, after), journal.Note{
		Object: journal.ConfigObject, From: journal.TextDigest(string(textBefore)), To: journal.TextDigest(string(text)),
	})
}

// ingress gives the audit annotations for an Ingress that opts in or out.
func (a audit) ingress(request admission.Request, after, before *networkingv1.Ingress) map[string]string {
	was, is := before != nil && optedIn(before), optedIn(after)
	if was == is || request.Name == "" { // generateName: the API server makes the name after admission
		return nil
	}
	object, change := request.Namespace+"/"+request.Name, "Ingress opted out"
	if is {
		change = "Ingress opted in"
	}
	return a.record(request, change+" ("+object+")", managerOf(request, nil), journal.Note{
		Object: object, From: journal.OptedInText(was), To: journal.OptedInText(is),
	})
}

func optedIn(ingress *networkingv1.Ingress) bool {
	return ingress.Annotations[ingressgen.AnnotationEnabled] == "true"
}

// record logs a change and leaves a note for the watcher, but not for a dry run, after
// which nothing has changed.
func (a audit) record(request admission.Request, change, manager string, note journal.Note) map[string]string {
	change = excerpt.Of(change, maxChangeBytes)
	if request.DryRun == nil || !*request.DryRun {
		a.log.Info("change admitted", "object", request.Namespace+"/"+request.Name, "change", change,
			"by", request.UserInfo.Username, "manager", manager)
		note.At, note.By = time.Now().UTC(), author(request.UserInfo.Username, manager)
		a.notes.add(note)
	}
	return map[string]string{annotationChange: change}
}

// author is "alice (kubectl-edit)".
func author(user, manager string) string {
	if manager == "" {
		return user
	}
	return user + " (" + manager + ")"
}

// managerOf is the field manager of a request: the one that the client names, or the one
// that the API server makes of its user agent; "" if it is not known.
func managerOf(request admission.Request, object metav1.Object) string {
	var options struct {
		FieldManager string `json:"fieldManager"`
	}
	if json.Unmarshal(request.Options.Raw, &options) == nil && options.FieldManager != "" || object == nil {
		return options.FieldManager
	}
	var newest metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Time != nil && (newest.Time == nil || newest.Time.Before(entry.Time)) {
			newest = entry
		}
	}
	return newest.Manager
}
