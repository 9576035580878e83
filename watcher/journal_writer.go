package watcher

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/journal"
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
	metrics  *metrics
	failures *kube.FailureLog

	mu      sync.Mutex
	pending []journal.Entry
	wake    chan struct{} // holds one

	stored *corev1.ConfigMap // as last read or written; nil: not known. Only run uses it
}

func newJournalWriter(source kube.NamedConfigMap, metrics *metrics, failures *kube.FailureLog) *journalWriter {
	return &journalWriter{source: source, metrics: metrics, failures: failures, wake: make(chan struct{}, 1)}
}

// append adds entries, and never blocks. While the API server is away the newest ones
// are kept.
func (w *journalWriter) append(entries ...journal.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, entries...)
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
			pause = 0
			err := w.write(ctx)
			if ctx.Err() != nil {
				return
			}
			w.failures.Report(journalSubject, err)
			if err != nil {
				pause = journalRetry
			}
		}
	}
}

// flush makes the last attempts when the watcher ends.
func (w *journalWriter) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), journalFlush)
	defer cancel()
	for range 2 { // the first may meet another version
		if err := w.write(ctx); err == nil {
			return
		}
	}
}

// write adds the pending entries to the ConfigMap. After an error they are pending again.
func (w *journalWriter) write(ctx context.Context) error {
	w.mu.Lock()
	entries := w.pending
	w.pending = nil
	w.mu.Unlock()
	if len(entries) == 0 {
		return nil
	}
	err := w.writeEntries(ctx, entries)
	if err != nil {
		w.stored = nil // it may be another one
		w.mu.Lock()
		w.pending = append(entries, w.pending...)
		w.mu.Unlock()
	}
	return err
}

func (w *journalWriter) writeEntries(ctx context.Context, entries []journal.Entry) error {
	ctx, cancel := withRequestTimeout(ctx)
	defer cancel()
	if err := w.read(ctx); err != nil {
		return err
	}
	before, err := journal.Parse(w.stored.Data[journal.EntriesKey])
	if err != nil {
		before = journal.Journal{} // somebody wrote into it: begin again rather than never write
	}
	text, err := before.Append(entries...).Text()
	if err != nil {
		return err
	}
	return w.put(ctx, map[string]string{journal.EntriesKey: text})
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
	client, version := w.source.Client.CoreV1().ConfigMaps(w.source.Namespace), w.stored.ResourceVersion
	var after *corev1.ConfigMap
	var err error
	if version == "" {
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: w.source.Name}, Data: keys} // without labels, see stateStore
		after, err = client.Create(ctx, made, metav1.CreateOptions{FieldManager: names.Manager})
	} else {
		var patch []byte
		patch, err = json.Marshal(map[string]any{"metadata": map[string]string{"resourceVersion": version}, "data": keys})
		if err == nil {
			after, err = client.Patch(ctx, w.source.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
		}
	}
	if w.metrics.countWrite("Journal", err) != nil {
		return fmt.Errorf("write ConfigMap %s: %w", w.source, err)
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
