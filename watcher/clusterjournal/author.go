package clusterjournal

import (
	"context"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/watcher/events"
)

const (
	// unknownUser is who made a change that admission did not see.
	unknownUser = "unknown"

	auditSubject = "migration-audit" // of the failure log
)

// Write is a change of an object that admission may have a note of.
type Write struct {
	Object, From, To string
	Manager          string // the field manager that wrote the object last
}

// Change is an entry, or a state whose differences from the one before are
// entries.
type Change struct {
	At     time.Time
	Entry  journal.Entry
	State  *journal.State
	Write  *Write         // who made it is asked; nil: nobody did
	Events runtime.Object // gets an Event for each entry that somebody made
}

// authors tells who made changes, as admission notes it.
type authors struct {
	notes    kube.NamedConfigMap // its namespace has the notes
	failures *kube.FailureLog
	wait     time.Duration // for a note
}

// taken is what becomes of pending changes.
type taken struct {
	entries []journal.Entry
	known   journal.Known
	events  []objectEvent
	rest    []Change // still pending
}

type objectEvent struct {
	object runtime.Object
	event  events.Event
}

// take makes entries of the changes, in order. It stops at one whose author is not known
// yet: the note is on its way.
func (a authors) take(ctx context.Context, known journal.Known, changes []Change, last bool) taken {
	result, notes := taken{known: known}, lazyNotes{authors: a}
	for i, change := range changes {
		by, found := a.author(ctx, &notes, result.known, change)
		if !found && !last && time.Since(change.At) < a.wait {
			result.rest = changes[i:]
			break
		}
		result.add(change, by)
	}
	return result
}

// author tells who made a change; "" for one that nobody made.
func (a authors) author(ctx context.Context, notes *lazyNotes, known journal.Known, change Change) (by string, found bool) {
	write := change.Write
	if write == nil {
		return "", true
	}
	from, to := write.From, write.To
	if change.State != nil {
		from, to = known.Text, change.State.Text
		if from == to || from == "" {
			return "", true
		}
	}
	if by = journal.Author(notes.read(ctx), write.Object, from, to); by != "" {
		return by, true
	}
	if write.Manager == "" {
		return unknownUser, false
	}
	return unknownUser + " (" + write.Manager + ")", false
}

// add adds the entries of one change, and the Event about those that somebody made.
func (t *taken) add(change Change, by string) {
	entries := []journal.Entry{change.Entry}
	if change.State != nil {
		state := *change.State
		state.By = by
		entries, t.known = t.known.Changes(state)
	} else if entries[0].By == "" {
		entries[0].By = by
	}
	t.entries = append(t.entries, entries...)
	made := slices.DeleteFunc(slices.Clone(entries), func(entry journal.Entry) bool { return entry.By == "" })
	if change.Events != nil && by != "" && len(made) > 0 {
		t.events = append(t.events, objectEvent{change.Events, events.Normal(events.Changed, excerpt.Of(journal.Describe(made), events.MaxBytes))})
	}
}

// lazyNotes reads the notes of all webhook replicas when the first is needed.
type lazyNotes struct {
	authors
	known bool
	notes []journal.Note
}

func (n *lazyNotes) read(ctx context.Context) []journal.Note {
	if n.known {
		return n.notes
	}
	n.known = true
	found, err := n.authors.notes.Client.CoreV1().ConfigMaps(n.authors.notes.Namespace).Get(ctx, names.AuditMap, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	n.failures.Report(auditSubject, err)
	if err != nil || found == nil {
		return nil
	}
	for _, text := range found.Data {
		n.notes = append(n.notes, journal.ParseNotes(text)...)
	}
	return n.notes
}

// LastManager is the field manager of the newest write; "" if none says.
func LastManager(object metav1.Object) string {
	var newest metav1.ManagedFieldsEntry
	for _, entry := range object.GetManagedFields() {
		if entry.Time != nil && (newest.Time == nil || newest.Time.Before(entry.Time)) {
			newest = entry
		}
	}
	return newest.Manager
}
