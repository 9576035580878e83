package watcher

import (
	"context"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

const (
	// unknownUser is who made a change that admission did not see.
	unknownUser = "unknown"

	auditSubject = "migration-audit" // of the failure log
)

// authoredWrite is a change of an object that admission may have a note of.
type authoredWrite struct {
	object, from, to string
	manager          string // the field manager that wrote the object last
}

// taken is what becomes of pending changes.
type taken struct {
	entries []journal.Entry
	known   journal.Known
	events  []objectEvent
	rest    []pendingChange // still pending
}

type objectEvent struct {
	object runtime.Object
	event  events.Event
}

// take makes entries of the changes, in order. It stops at one whose author is not known
// yet: the note is on its way.
func (w *journalWriter) take(ctx context.Context, known journal.Known, changes []pendingChange, last bool) taken {
	result, notes := taken{known: known}, lazyNotes{writer: w}
	for i, change := range changes {
		by, found := w.author(ctx, &notes, result.known, change)
		if !found && !last && time.Since(change.at) < w.noteWait {
			result.rest = changes[i:]
			break
		}
		result.add(change, by)
	}
	return result
}

// author tells who made a change; "" for one that nobody made.
func (w *journalWriter) author(ctx context.Context, notes *lazyNotes, known journal.Known, change pendingChange) (by string, found bool) {
	write := change.write
	if write == nil {
		return "", true
	}
	from, to := write.from, write.to
	if change.state != nil {
		from, to = known.Text, change.state.Text
		if from == to || from == "" {
			return "", true
		}
	}
	if by = journal.Author(notes.read(ctx), write.object, from, to); by != "" {
		return by, true
	}
	if write.manager == "" {
		return unknownUser, false
	}
	return unknownUser + " (" + write.manager + ")", false
}

// add adds the entries of one change, and the Event about those that somebody made.
func (t *taken) add(change pendingChange, by string) {
	entries := []journal.Entry{change.entry}
	if change.state != nil {
		state := *change.state
		state.By = by
		entries, t.known = t.known.Changes(state)
	} else if entries[0].By == "" {
		entries[0].By = by
	}
	t.entries = append(t.entries, entries...)
	made := slices.DeleteFunc(slices.Clone(entries), func(entry journal.Entry) bool { return entry.By == "" })
	if change.events != nil && by != "" && len(made) > 0 {
		t.events = append(t.events, objectEvent{change.events, events.Normal(events.Changed, excerpt.Of(journal.Describe(made), events.MaxBytes))})
	}
}

// lazyNotes reads the notes of all webhook replicas when the first is needed.
type lazyNotes struct {
	writer *journalWriter
	known  bool
	notes  []journal.Note
}

func (n *lazyNotes) read(ctx context.Context) []journal.Note {
	if n.known {
		return n.notes
	}
	n.known = true
	w := n.writer
	found, err := w.source.Client.CoreV1().ConfigMaps(w.source.Namespace).Get(ctx, names.AuditMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	w.failures.Report(auditSubject, err)
	if err != nil || found == nil {
		return nil
	}
	for _, text := range found.Data {
		n.notes = append(n.notes, journal.ParseNotes(text)...)
	}
	return n.notes
}

// lastManager is the field manager of the newest write; "" if none says.
func lastManager(object metav1.Object) string {
	var newest metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Time != nil && (newest.Time == nil || newest.Time.Before(entry.Time)) {
			newest = entry
		}
	}
	return newest.Manager
}

// optedInText is how the notes write whether an Ingress has opted in.
func optedInText(ingress *networkingv1.Ingress) string {
	return journal.OptedInText(ingress != nil && ingress.Annotations[ingressgen.AnnotationEnabled] == "true")
}
