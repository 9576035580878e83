package watcher

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/notifier"
)

const (
	// journalDelay collects entries: a fallback of many Ingresses is one write.
	journalDelay = 300 * time.Millisecond
	// journalRetry is the pause after a write that failed.
	journalRetry = 2 * time.Second
	// journalFlush is how long the next leader waits for the last entries at most.
	journalFlush = 2 * time.Second
	// maxPending is how many entries wait for the API server at most: more than the
	// journal keeps.
	maxPending = 2 * journal.MaxEntries

	journalSubject = "migration-journal" // of the failure log
)

// journalWriter is the one writer of ConfigMap migration-journal. append and observe
// only take a lock; run's goroutine does the rest, so nobody waits for the API server.
//
// Each write has the version that it changes. A watcher that has lost the lease and does
// not know it yet is refused, and IDs are never used twice.
type journalWriter struct {
	source   kube.NamedConfigMap
	writes   apiwrite.Counter
	failures *kube.FailureLog

	events   *events.Writer
	notifier *notifier.Notifier
	noteWait time.Duration // Options.NoteWait

	mu      sync.Mutex
	pending []pendingChange
	wake    chan struct{} // holds one

	// Only run uses these.
	stored *corev1.ConfigMap // as last read or written; nil: not known
	table  *migration.Table  // of the state that the ConfigMap knows; nil: another leader wrote that
}

// pendingChange is an entry, or a state whose differences from the one before are
// entries.
type pendingChange struct {
	at     time.Time
	entry  journal.Entry
	state  *journal.State
	write  *authoredWrite // who made it is asked; nil: nobody did
	events runtime.Object // gets an Event for each entry that somebody made
}

// append adds entries, and never blocks. While the API server is away the newest ones
// are kept.
func (w *journalWriter) append(entries ...journal.Entry) {
	for _, entry := range entries {
		w.add(pendingChange{at: time.Now(), entry: entry})
	}
}

func (w *journalWriter) add(change pendingChange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, change)
	w.pending = w.pending[max(len(w.pending)-maxPending, 0):]
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

// run writes until ctx ends, and then what is left.
func (w *journalWriter) run(ctx context.Context) {
	defer w.flush(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		pause := journalDelay
		for pause > 0 && sleep(ctx, pause) {
			waiting, err := w.write(ctx, false)
			if ctx.Err() != nil {
				return
			}
			w.failures.Report(journalSubject, err)
			switch {
			case err != nil:
				pause = journalRetry
			case waiting: // for a note of admission
				pause = journalDelay
			default:
				pause = 0
			}
		}
	}
}

// flush makes the last attempts when the watcher ends.
func (w *journalWriter) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalFlush)
	defer cancel()
	for range 2 { // the first may meet another version
		if _, err := w.write(ctx, true); err == nil {
			return
		}
	}
}

// write adds the pending changes to the ConfigMap. After an error they are pending again,
// and so are those whose author admission has yet to say, unless this is the last chance.
func (w *journalWriter) write(ctx context.Context, last bool) (waiting bool, err error) {
	w.mu.Lock()
	changes := w.pending
	w.pending = nil
	w.mu.Unlock()
	if len(changes) == 0 {
		return false, nil
	}
	ctx, cancel := apiwrite.WithTimeout(ctx)
	defer cancel()
	rest, err := w.writeChanges(ctx, changes, last)
	if err != nil {
		w.stored, rest = nil, changes // it may be another version
	}
	w.mu.Lock()
	w.pending = append(rest, w.pending...)
	w.mu.Unlock()
	return len(rest) > 0, err
}

func (w *journalWriter) writeChanges(ctx context.Context, changes []pendingChange, last bool) (rest []pendingChange, err error) {
	if err := w.read(ctx); err != nil {
		return nil, err
	}
	found := w.take(ctx, journal.ParseKnown(w.stored.Data[journal.KnownKey]).With(w.table), changes, last)
	keys, written, err := w.keys(found)
	if err != nil {
		return nil, err
	}
	if len(keys) > 0 {
		err = w.put(ctx, keys)
	}
	if err != nil {
		return nil, err
	}
	w.table = found.known.Table()
	w.notify(written)
	for _, one := range found.events {
		w.events.Write(one.object, one.event)
	}
	return found.rest, nil
}

// notify sends entries that this watcher's write has just put into the journal. No other
// leader has written these, so nobody else sends them.
func (w *journalWriter) notify(written []journal.Entry) {
	if w.table != nil {
		w.notifier.Use(w.table.Global().Notify)
	}
	w.notifier.Send(written)
}

// keys are those of the ConfigMap that are not as they must be, and the entries that are
// new in them.
func (w *journalWriter) keys(found taken) (keys map[string]string, written []journal.Entry, err error) {
	before, err := journal.Parse(w.stored.Data[journal.EntriesKey])
	if err != nil {
		before = journal.Journal{} // somebody wrote into it: begin again rather than never write
	}
	after := before.Append(found.entries...)
	entries, err := after.Text()
	if err != nil {
		return nil, nil, err
	}
	known, err := found.known.Format()
	if err != nil {
		return nil, nil, err
	}
	keys = map[string]string{}
	if len(found.entries) > 0 {
		keys[journal.EntriesKey] = entries
	}
	if known != w.stored.Data[journal.KnownKey] {
		keys[journal.KnownKey] = known
	}
	return keys, after.Since(before.LastID), nil
}

// read gets the ConfigMap unless it is known. One that does not exist has no version.
func (w *journalWriter) read(ctx context.Context) error {
	if w.stored != nil {
		return nil
	}
	found, err := w.source.Client.CoreV1().ConfigMaps(w.source.Namespace).Get(ctx, w.source.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		found = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: w.source.Name}}
	case err != nil:
		return fmt.Errorf("read ConfigMap %s: %w", w.source, err)
	}
	w.stored = found
	return nil
}

// put writes keys into the version that was read, or makes the ConfigMap.
func (w *journalWriter) put(ctx context.Context, keys map[string]string) error {
	after, err := w.source.Put(ctx, w.stored, keys)
	if w.writes.Count("Journal", err) != nil {
		return err
	}
	w.stored = after
	return nil
}

// sleep returns false when ctx ends first.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
