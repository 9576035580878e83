package localjournal

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/beat"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/drills"
)

// interval is how often entries and a new config are looked for; stateInterval is how often
// the state of all services is, which takes milliseconds for a thousand.
const interval, stateInterval = time.Second, 5 * time.Second

// thisReplica stands for the proxy where the journal of a cluster names a Pod.
const thisReplica = "proxy"

// Writer is the one writer of the file. Append may be called from any goroutine.
type Writer struct {
	runtimeDir string
	table      func() *migration.Table // in force, or nil
	status     func() status.Status    // of this proxy
	log        *slog.Logger

	mu      sync.Mutex
	pending []journal.Entry

	// Only Run uses these.
	journal journal.Journal
	known   journal.Known
	text    string // of known, as written
	looked  time.Time
	splits  journal.Splits
	failed  bool // the last write failed, which the log has
}

// New reads the file of before a restart.
func New(runtimeDir string, table func() *migration.Table, status func() status.Status, log *slog.Logger) *Writer {
	w := &Writer{runtimeDir: runtimeDir, table: table, status: status, log: log}
	data, err := readKeys(runtimeDir)
	if err == nil {
		w.journal, err = journal.Parse(data[journal.EntriesKey])
	}
	if err != nil {
		log.Error("journal not read, it begins again", "file", Path(runtimeDir), "error", err)
		return w
	}
	w.known, w.text = journal.ParseKnown(data[journal.KnownKey]), data[journal.KnownKey]
	return w
}

// Append adds entries. They are written within a second.
func (w *Writer) Append(entries ...journal.Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending = append(w.pending, entries...)
	w.pending = w.pending[max(len(w.pending)-journal.MaxPending, 0):]
}

// Run writes until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			w.write(time.Now())
			return
		case now := <-beat.After(interval):
			if w.due(now) {
				w.write(now)
			}
		}
	}
}

// due tells whether something happened, or the state must be looked at again.
func (w *Writer) due(now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) > 0 || w.table() != w.known.Table() || now.Sub(w.looked) >= stateInterval
}

// write takes what happened into the file. What could not be written is tried again.
func (w *Writer) write(now time.Time) {
	w.looked = now
	state := w.state(now)
	entries, known := w.known.Changes(state)
	w.mu.Lock()
	pending := w.pending
	w.pending = nil
	w.mu.Unlock()
	next := w.journal.Append(append(entries, pending...)...)
	text, err := known.Format()
	if err == nil && text == w.text && len(entries)+len(pending) == 0 {
		w.known = known // with the table, which is not in the text
		return
	}
	var written string
	if err == nil {
		written, err = next.Text()
	}
	if err == nil {
		err = writeKeys(w.runtimeDir, map[string]string{journal.EntriesKey: written, journal.KnownKey: text})
	}
	if err != nil {
		if !w.failed {
			w.log.Error("journal not written, it is tried again", "error", err)
		}
		w.failed = true
		w.Append(pending...)
		return
	}
	w.journal, w.known, w.text, w.failed = next, known, text, false
}

// state is what is now.
func (w *Writer) state(now time.Time) journal.State {
	document := w.status()
	w.splits.Take(map[string][]status.Service{thisReplica: document.Services})
	state := journal.State{
		At: now, Table: w.table(), Text: document.Config.Digest,
		Services: map[string]status.ClusterService{}, Trips: map[string]map[string]string{}, Evidence: map[string]*journal.Evidence{},
	}
	if rejected := document.Config.Rejected; rejected != nil {
		state.Rejected, state.Text = strings.Join(rejected.Problems, "; "), rejected.At.String()
	}
	for i := range document.Services {
		row := document.Services[i]
		phase := status.Migrating
		if row.Phase == status.FallenBack {
			phase = status.FallenBack
			state.Trips[row.Name] = map[string]string{thisReplica: row.Reason}
		}
		state.Services[row.Name] = status.ClusterService{Phase: phase, Reason: row.Reason}
		state.Evidence[row.Name] = journal.EvidenceOf(w.splits.Until(thisReplica, row))
	}
	if found, err := drills.Read(w.runtimeDir); err == nil {
		state.Drills = found.Services
	}
	return state
}
