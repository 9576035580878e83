package watcher

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// input changes the owner's state. It tells whether that has to be looked at.
type input func(*owner) bool

// owner owns the state: what the config says, what the replicas said, the
// verdict, and which Ingress belongs to which service. All of it is used by
// one goroutine, run's; others send inputs and read the view.
type owner struct {
	inbox   chan input
	object  kube.NamedConfigMap // the config
	record  *record
	events  *eventWriter
	faults  *faults
	metrics *metrics
	asker   *asker
	log     *slog.Logger
	enqueue func(types.NamespacedName)
	view    *atomic.Pointer[view]
	began   chan struct{} // closed with the first view
	home    string
	check   func(namespace string) // whether the proxy's Service is there

	configKnown bool
	configMap   *corev1.ConfigMap // the newest; nil: it does not exist
	looked      bool              // at configMap
	loader      config.Loader
	table       *migration.Table // the last valid one; nil: none ever was
	text        string           // that it came from
	good        string           // the last text that a ready replica served
	since       time.Time        // when it was new
	rejected    string           // why the newest config is not in force

	words    []Word
	heard    bool
	judged   bool // state is ours; before, the recorded one counts
	state    status.Cluster
	index    *index
	refusals map[string]time.Time // by pod: the rejected config that was told of
	success  time.Time
	kept     bool // the last good config, beside the state

	writes  sync.WaitGroup // of the record
	writing bool           // one is under way
	behind  time.Time      // since when the record does not say the state; zero: it does

	provided  map[string]struct{} // namespaces with the proxy's Service
	withdrawn []withdrawal
}

// withdrawal of a namespace; done is closed when the record says so.
type withdrawal struct {
	namespace string
	done      chan struct{}
}

// send hands an input to the owner.
func (o *owner) send(ctx context.Context, in input) {
	select {
	case o.inbox <- in:
	case <-ctx.Done():
	}
}

func (o *owner) run(ctx context.Context) {
	defer o.writes.Wait()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case in := <-o.inbox:
			if in(o) {
				now := time.Now()
				timer.Reset(due(now, last).Sub(now))
			}
		case <-timer.C:
			last = time.Now()
			o.settle(ctx)
		}
	}
}

// The inputs.

func (o *owner) takeConfig(configMap *corev1.ConfigMap) bool {
	o.configKnown, o.configMap, o.looked = true, configMap, false
	o.asker.now()
	return true
}

func (o *owner) takeRecord(configMap *corev1.ConfigMap) bool {
	o.record.take(configMap)
	return true
}

func (o *owner) takeReplicas(replicas []kube.Replica) bool {
	before := o.words
	o.words = Listen(before, replicas, time.Now())
	o.heard = true
	o.tellTroubles(before)
	return true
}

// takeOutcome: what was judged by an older view is judged again; the index did
// not know it when the view changed.
func (o *owner) takeOutcome(done outcome) bool {
	o.index.put(done)
	if !done.gone && done.version < o.view.Load().version {
		o.enqueue(done.key)
	}
	return false
}

// takeNamespace notes whether a namespace has the proxy's Service.
func (o *owner) takeNamespace(namespace string, provided bool) bool {
	_, before := o.provided[namespace]
	if provided {
		o.provided[namespace] = struct{}{}
	} else {
		delete(o.provided, namespace)
	}
	return before != provided
}

// withdraw comes back when it is recorded that admission must not point
// Ingresses of a namespace at the proxy's Service any more.
func (o *owner) withdraw(ctx context.Context, namespace string) error {
	ctx, cancel := within(ctx)
	defer cancel()
	done := make(chan struct{})
	o.send(ctx, func(o *owner) bool {
		o.takeNamespace(namespace, false)
		o.withdrawn = append(o.withdrawn, withdrawal{namespace, done})
		return true
	})
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("record that namespace %s loses Service %s: %w", namespace, names.ProxyService, ctx.Err())
	}
}

// namespaces is what admission may use. While everything is paused it is
// nothing: the command restore --all removes the Services itself.
func (o *owner) namespaces() []string {
	if o.state.Paused != "" {
		return nil
	}
	all := slices.AppendSeq([]string{o.home}, maps.Keys(o.provided))
	slices.Sort(all)
	return slices.Compact(all)
}

// settle looks at everything and acts on it, in this order: the config, the
// verdict, its record, and then the Ingresses.
func (o *owner) settle(ctx context.Context) {
	if !o.configKnown || !o.record.known || !o.heard {
		return // a verdict without having heard all would be a guess
	}
	o.load()
	o.judge()
	o.prove()
	o.act(ctx)
	o.hurry()
	o.tellRefusals()
	o.measure()
}

// load reads the newest config, if it has not been. The last good one stays
// in force while the newest is not valid.
func (o *owner) load() {
	if o.looked {
		return
	}
	o.looked = true
	text, err := o.object.ConfigText(o.configMap)
	var table *migration.Table
	if err == nil {
		table, err = o.loader.Load(o.object.String(), text)
	}
	if err != nil {
		o.reject(err)
		return
	}
	o.accept(table, string(text))
}

func (o *owner) accept(table *migration.Table, text string) {
	recorded, ok := o.record.lastGood()
	if o.table == nil && !(ok && recorded == text) || o.table != nil && o.table.Digest() != table.Digest() {
		o.log.Info("Configuration changed", "config", o.object.String(), "digest", table.Digest(), "services", len(table.Services()))
		o.events.on(o.configMap, note{corev1.EventTypeNormal, EventAccepted, "the migration config is valid; digest " + table.Digest()})
	}
	if o.table == nil || o.table.Digest() != table.Digest() {
		o.since = time.Now()
	}
	o.table, o.text, o.rejected = table, text, ""
}

func (o *owner) reject(err error) {
	if o.table == nil {
		o.recall()
	}
	if o.rejected == err.Error() {
		return
	}
	o.rejected = err.Error()
	o.log.Warn("The migration config is not valid, the last valid one stays in force", "config", o.object.String(), "error", err)
	if o.configMap == nil {
		return // nothing to write an Event on
	}
	o.events.on(o.configMap, note{corev1.EventTypeWarning, EventRejected, "the last valid migration config stays in force: " + err.Error()})
}

// recall takes the config that the last leader found valid.
func (o *owner) recall() {
	text, ok := o.record.lastGood()
	if !ok {
		return
	}
	table, err := config.Load(o.record.name+" "+status.LastGoodKey, []byte(text))
	if err != nil {
		o.log.Warn("The last valid config is not readable", "error", err)
		return
	}
	o.table, o.text, o.since = table, text, time.Now()
}

func (o *owner) judge() {
	before := o.state
	if !o.judged {
		before = o.record.cluster()
		o.good, _ = o.record.lastGood()
		for _, namespace := range before.Namespaces {
			o.provided[namespace] = struct{}{} // until it is checked
			o.check(namespace)
		}
	}
	before.Paused = o.record.paused()
	o.state, o.judged = Verdict(o.table, o.words, before, time.Now()), true
	o.state.Namespaces = o.namespaces()
}

// prove: a config is good when a ready replica serves it. nginx may refuse a
// valid one, for instance for a ca_file that is missing; a new pod that had only
// that to begin with would never be ready.
func (o *owner) prove() {
	serves := func(word Word) bool { return word.Ready && word.Status.Config.Digest == o.table.Digest() }
	if o.table != nil && slices.ContainsFunc(o.words, serves) {
		o.good = o.text
	}
}

// arriving is how long replicas may take to serve a new config, until they
// are asked no more often than ever.
const arriving = 5 * time.Second

// hurry asks more often while a new config is on its way to the replicas.
func (o *owner) hurry() {
	behind := false
	for i := range o.words {
		word := &o.words[i]
		behind = behind || o.table != nil && word.Ready && word.Status.Config.Digest != o.table.Digest()
	}
	o.asker.eager.Store(behind && time.Since(o.since) < arriving)
}

func (o *owner) measure() {
	now := &snapshot{
		at: o.success, services: o.state.Services, ingresses: o.index.phases(), words: o.words,
		rejected: o.rejected != "", paused: o.state.Paused != "",
	}
	if o.table != nil {
		now.digest = o.table.Digest()
	}
	o.metrics.current.Store(now)
}
