package clusterjournal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/pause"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/apiwrite"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/notifier"
)

const (
	// delay collects entries: a fallback of many Ingresses is one write.
	delay = 300 * time.Millisecond
	// retry is the pause after a write that failed.
	retry = 2 * time.Second
	// flushTimeout is how long the next leader waits for the last entries at most.
	flushTimeout = 2 * time.Second
	subject      = "migration-journal" // of the failure log
)

// Options are what a Writer needs.
type Options struct {
	Source   kube.NamedConfigMap // migration-journal
	Writes   apiwrite.Counter
	Failures *kube.FailureLog
	Events   *events.Writer
	Notifier *notifier.Notifier
	NoteWait time.Duration // how long an entry waits for a note of admission
}

// Writer is the one writer of ConfigMap migration-journal. Append and Add
// only take a lock; the goroutine of Run does the rest, so nobody waits for the API server.
//
// Each write has the version that it changes. A watcher that has lost the lease and does
// not know it yet is refused, and IDs are never used twice.
type Writer struct {
	options Options
	authors authors

	mu      sync.Mutex
	pending []Change
	wake    chan struct{} // holds one

	// Only Run uses these.
	stored *corev1.ConfigMap // as last read or written; nil: not known
	table  *migration.Table  // of the state that the ConfigMap knows; nil: another leader wrote that
}

// New makes a Writer, whose work is done by Run.
func New(options Options) *Writer {
	return &Writer{options: options, authors: authors{options.Source, options.Failures, options.NoteWait}, wake: make(chan struct{}, 1)}
}

// Append adds entries, and never blocks. While the API server is away the newest ones
// are kept.
func (w *Writer) Append(entries ...journal.Entry) {
	for _, entry := range entries {
		w.Add(Change{At: time.Now(), Entry: entry})
	}
}

// Add adds a change, and never blocks.
func (w *Writer) Add(change Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, change)
	w.pending = w.pending[max(len(w.pending)-journal.MaxPending, 0):]
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

// Run writes until ctx ends, and then what is left.
func (w *Writer) Run(ctx context.Context) {
	defer w.options.Notifier.Close()
	defer w.flush(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		next := delay
		for next > 0 && pause.For(ctx, next) {
			waiting, err := w.write(ctx, false)
			if ctx.Err() != nil {
				return
			}
			w.options.Failures.Report(subject, err)
			switch {
			case err != nil:
				next = retry
			case waiting: // for a note of admission
				next = delay
			default:
				next = 0
			}
		}
	}
}

// flush makes the last attempts when the watcher ends.
func (w *Writer) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	for range 2 { // the first may meet another version
		if _, err := w.write(ctx, true); err == nil {
			return
		}
	}
}

// write adds the pending changes to the ConfigMap. After an error they are pending again,
// and so are those whose author admission has yet to say, unless this is the last chance.
func (w *Writer) write(ctx context.Context, last bool) (waiting bool, err error) {
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

func (w *Writer) writeChanges(ctx context.Context, changes []Change, last bool) (rest []Change, err error) {
	if err := w.read(ctx); err != nil {
		return nil, err
	}
	before, err := journal.Parse(w.stored.Data[journal.EntriesKey])
	if err != nil {
		before = journal.Journal{} // somebody wrote into it: begin again rather than never write
	}
	unwritten := slices.DeleteFunc(slices.Clone(changes), func(change Change) bool { return before.Has(change.Entry) })
	found := w.authors.take(ctx, journal.ParseKnown(w.stored.Data[journal.KnownKey]).With(w.table), unwritten, last)
	keys, written, err := w.keys(before, found)
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
		w.options.Events.Write(one.object, one.event)
	}
	return found.rest, nil
}

// notify sends entries that this watcher's write has just put into the journal. No other
// leader has written these, so nobody else sends them.
func (w *Writer) notify(written []journal.Entry) {
	if w.table != nil {
		w.options.Notifier.Use(w.table.Global().Notify)
	}
	w.options.Notifier.Send(written)
}

// keys are those of the ConfigMap that are not as they must be, and the entries that are
// new in them.
func (w *Writer) keys(before journal.Journal, found taken) (keys map[string]string, written []journal.Entry, err error) {
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
func (w *Writer) read(ctx context.Context) error {
	if w.stored != nil {
		return nil
	}
	found, err := w.options.Source.Client.CoreV1().ConfigMaps(w.options.Source.Namespace).Get(ctx, w.options.Source.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		found = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: w.options.Source.Name}}
	case err != nil:
		return fmt.Errorf("read ConfigMap %s: %w", w.options.Source, err)
	}
	w.stored = found
	return nil
}

// put writes keys into the version that was read, or makes the ConfigMap.
func (w *Writer) put(ctx context.Context, keys map[string]string) error {
	after, err := w.options.Source.Put(ctx, w.stored, keys)
	if w.options.Writes.Count("Journal", err) != nil {
		return err
	}
	w.stored = after
	return nil
}
