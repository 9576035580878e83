package webhook

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
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
	// notePause is the least time between two writes: a flood of requests costs few.
	notePause = 250 * time.Millisecond
	// noteRetry is the pause after a write that failed.
	noteRetry = 2 * time.Second
	// noteRequest bounds one write.
	noteRequest = 5 * time.Second
)

// NoteWriter writes who made the last changes to a key of its own of ConfigMap
// migration-audit, after admission has answered. A note that is lost costs a name in the
// journal, nothing else.
type NoteWriter struct {
	target   kube.NamedConfigMap
	key      string // of this process
	failures *kube.FailureLog
	wake     chan struct{} // holds one

	mu    sync.Mutex
	notes []journal.Note
}

// NewNoteWriter makes a NoteWriter. Run writes the notes.
func NewNoteWriter(target kube.NamedConfigMap) *NoteWriter {
	var random [8]byte
	for i := range random {
		random[i] = byte(rand.Uint32()) // it only has to differ from those of the other replicas
	}
	return &NoteWriter{
		target: target, key: "replica-" + hex.EncodeToString(random[:]) + ".json",
		failures: kube.NewFailureLog(target.Log), wake: make(chan struct{}, 1),
	}
}

// add never blocks.
func (w *NoteWriter) add(note journal.Note) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = journal.AddNote(w.notes, note)
	w.wakeUp()
}

// Run writes until ctx ends.
func (w *NoteWriter) Run(ctx context.Context) {
	var expired []string
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		after, err := w.write(ctx, expired)
		if ctx.Err() != nil {
			return
		}
		w.failures.Report("migration-audit", err)
		pause := notePause
		if err != nil {
			pause = noteRetry
			w.wakeUp()
		} else {
			expired = w.expired(after)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (w *NoteWriter) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake
	}
}

// write writes the notes of this process, and removes the keys of others.
func (w *NoteWriter) write(ctx context.Context, others []string) (*corev1.ConfigMap, error) {
	w.mu.Lock()
	text, err := journal.FormatNotes(w.notes)
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	keys := map[string]any{w.key: text}
	for _, key := range others {
		keys[key] = nil
	}
	patch, err := json.Marshal(map[string]any{"data": keys})
	if err != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", w.target, err)
	}
	ctx, cancel := context.WithTimeout(ctx, noteRequest)
	defer cancel()
	client := w.target.Client.CoreV1().ConfigMaps(w.target.Namespace)
	after, err := client.Patch(ctx, w.target.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: names.Manager})
	if apierrors.IsNotFound(err) {
		made := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: w.target.Name}, Data: map[string]string{w.key: text}}
		after, err = client.Create(ctx, made, metav1.CreateOptions{FieldManager: names.Manager})
	}
	if err != nil {
		return nil, fmt.Errorf("write ConfigMap %s: %w", w.target, err)
	}
	return after, nil
}

// expired are the keys of processes that have written nothing for a while; most of them
// have ended.
func (w *NoteWriter) expired(configMap *corev1.ConfigMap) []string {
	var keys []string
	for key, text := range configMap.Data {
		notes := journal.ParseNotes(text)
		if key != w.key && (len(notes) == 0 || time.Since(notes[len(notes)-1].At) > journal.NoteExpiry) {
			keys = append(keys, key)
		}
	}
	return keys
}
