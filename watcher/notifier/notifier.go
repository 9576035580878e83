package notifier

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/migration-proxy/migration-proxy/internal/pause"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/notify"
)

const (
	// maxQueue is how many entries wait for one address.
	maxQueue = 100
	// maxTries is how often an entry is tried.
	maxTries = 3
	// backOff is the pause after the first try; the second has five times that.
	backOff = time.Second
	// tryTimeout bounds one try.
	tryTimeout = 5 * time.Second
	// lastChance is how long Close waits for what is queued: the next leader begins after
	// it.
	lastChance = 2 * time.Second
)

// The results that NewCounter counts.
const (
	sent    = "sent"
	failed  = "failed"  // after the last try
	dropped = "dropped" // the queue was full, or the watcher ended
)

// NewCounter makes the metric of a Notifier.
func NewCounter() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "migration_proxy_notifications_total",
		Help: "Entries of the journal for an address of global.notify, by its file and by result: sent, failed (after the last try), or dropped (too many waited, or the watcher ended).",
	}, []string{"target", "result"})
}

// Options are what a Notifier needs. The times are those of the package when they are 0.
type Options struct {
	Results             *prometheus.CounterVec // NewCounter
	Log                 *slog.Logger
	BackOff, TryTimeout time.Duration
	LastChance          time.Duration
}

// Notifier sends entries of the journal. One goroutine at a time may call its methods.
type Notifier struct {
	options Options
	client  *http.Client
	ctx     context.Context // of all tries
	cancel  context.CancelFunc
	running sync.WaitGroup
	targets []migration.NotifyTarget
	queues  map[address]chan journal.Entry
}

// address is where one queue is sent to.
type address struct {
	file   string
	format migration.NotifyFormat
}

// New makes a Notifier without targets. Close ends it.
func New(options Options) *Notifier {
	options.BackOff = cmp.Or(options.BackOff, backOff)
	options.TryTimeout = cmp.Or(options.TryTimeout, tryTimeout)
	options.LastChance = cmp.Or(options.LastChance, lastChance)
	ctx, cancel := context.WithCancel(context.Background())
	return &Notifier{
		options: options, client: newClient(options.TryTimeout), ctx: ctx, cancel: cancel, queues: map[address]chan journal.Entry{},
	}
}

// Use replaces the targets. What is queued for the ones before is still sent.
func (n *Notifier) Use(targets []migration.NotifyTarget) {
	wanted := map[address]bool{}
	for _, target := range targets {
		to := address{target.URLFile, target.Format}
		wanted[to] = true
		if n.queues[to] == nil {
			n.start(to)
		}
	}
	for to, queue := range n.queues {
		if !wanted[to] {
			close(queue)
			delete(n.queues, to)
		}
	}
	n.targets = targets
}

func (n *Notifier) start(to address) {
	for _, result := range []string{sent, failed, dropped} {
		n.count(to, result, 0) // an alert on an increase needs the value before
	}
	if _, err := readURL(to.file); err != nil {
		n.options.Log.Warn("notifications cannot be sent", "target", to.file, "error", err)
	}
	queue := make(chan journal.Entry, maxQueue)
	n.queues[to] = queue
	n.running.Go(func() { n.sendAll(to, queue) })
}

// Send queues entries for the targets that want them, and never blocks. Two targets
// with the same address get an entry once.
func (n *Notifier) Send(entries []journal.Entry) {
	for _, entry := range entries {
		for to, queue := range n.queues {
			if n.wants(to, entry) {
				n.offer(to, queue, entry)
			}
		}
	}
}

func (n *Notifier) wants(to address, entry journal.Entry) bool {
	for _, target := range n.targets {
		if (address{target.URLFile, target.Format}) == to && notify.Wants(target, entry) {
			return true
		}
	}
	return false
}

func (n *Notifier) offer(to address, queue chan<- journal.Entry, entry journal.Entry) {
	select {
	case queue <- entry:
	default:
		n.count(to, dropped, 1)
		n.options.Log.Warn("notification dropped, too many wait", "target", to.file, "entry", entry.ID, "kind", entry.Kind)
	}
}

func (n *Notifier) count(to address, result string, by float64) {
	n.options.Results.WithLabelValues(to.file, result).Add(by)
}

// Close sends what is queued for a short time, and ends all that runs.
func (n *Notifier) Close() {
	n.Use(nil)
	timer := time.AfterFunc(n.options.LastChance, n.cancel)
	n.running.Wait()
	timer.Stop()
	n.cancel()
}

// sendAll sends the entries of one queue until it is closed.
func (n *Notifier) sendAll(to address, queue <-chan journal.Entry) {
	for entry := range queue {
		if n.ctx.Err() != nil {
			n.count(to, dropped, 1)
			continue
		}
		tries, err := n.try(to, entry)
		if err != nil {
			n.count(to, failed, 1)
			n.options.Log.Warn("notification failed", "target", to.file, "entry", entry.ID, "kind", entry.Kind, "tries", tries, "error", err)
			continue
		}
		n.count(to, sent, 1)
	}
}

// try tries until the entry is sent, may be taken, or was tried often enough.
func (n *Notifier) try(to address, entry journal.Entry) (tries int, err error) {
	body, err := notify.Body(to.format, entry)
	if err != nil {
		return 0, err
	}
	wait := n.options.BackOff
	for tries = 1; ; tries++ {
		refused := n.post(to.file, body)
		if refused == nil {
			return tries, nil
		}
		if !refused.again || tries == maxTries || !pause.For(n.ctx, max(wait, refused.after)) {
			return tries, refused
		}
		wait *= 5
	}
}
