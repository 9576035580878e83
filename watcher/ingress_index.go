package watcher

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/reconcile"
)

type keySet map[types.NamespacedName]struct{}

// ingressIndex finds the Ingresses that a change may concern, so that not all
// are reconciled again. Each Ingress enters it when it is first reconciled.
type ingressIndex struct {
	ingresses map[types.NamespacedName]reconcile.Result
	byService map[migration.Name]keySet
	byHost    map[migration.Host]keySet
	notes     map[types.NamespacedName]status.IngressNote
}

func newIngressIndex() *ingressIndex {
	return &ingressIndex{
		ingresses: map[types.NamespacedName]reconcile.Result{},
		byService: map[migration.Name]keySet{},
		byHost:    map[migration.Host]keySet{},
		notes:     map[types.NamespacedName]status.IngressNote{},
	}
}

// put replaces what is known of an Ingress. It tells whether the notes have changed.
func (x *ingressIndex) put(r reconcile.Result) (noted bool) {
	x.putServices(r)
	before := x.notes[r.Key]
	if r.Note == "" {
		delete(x.notes, r.Key)
		return before.Text != ""
	}
	x.notes[r.Key] = status.IngressNote{Namespace: r.Key.Namespace, Name: r.Key.Name, Phase: r.Phase, Text: r.Note}
	return x.notes[r.Key] != before
}

func (x *ingressIndex) putServices(r reconcile.Result) {
	before := x.ingresses[r.Key]
	for _, service := range before.Services {
		drop(x.byService, service, r.Key)
	}
	for _, host := range before.Hosts {
		drop(x.byHost, host, r.Key)
	}
	if r.Gone {
		delete(x.ingresses, r.Key)
		return
	}
	x.ingresses[r.Key] = r
	for _, service := range r.Services {
		add(x.byService, service, r.Key)
	}
	for _, host := range r.Hosts {
		add(x.byHost, host, r.Key)
	}
}

func add[K comparable](index map[K]keySet, at K, key types.NamespacedName) {
	if index[at] == nil {
		index[at] = keySet{}
	}
	index[at][key] = struct{}{}
}

func drop[K comparable](index map[K]keySet, at K, key types.NamespacedName) {
	delete(index[at], key)
	if len(index[at]) == 0 {
		delete(index, at)
	}
}

// affectedBy returns the Ingresses that a difference may change.
func (x *ingressIndex) affectedBy(d desiredstate.Diff) keySet {
	affected := keySet{}
	if d.Everything {
		for key := range x.ingresses {
			affected[key] = struct{}{}
		}
		return affected
	}
	for service := range d.Services {
		maps.Copy(affected, x.byService[service])
	}
	for host := range d.Hosts {
		maps.Copy(affected, x.byHost[host])
	}
	return affected
}

// phases counts the Ingresses by phase.
func (x *ingressIndex) phases() map[status.Phase]int {
	count := map[status.Phase]int{}
	for _, ingress := range x.ingresses {
		count[ingress.Phase]++
	}
	return count
}

// The notes share a ConfigMap with the state.
const (
	maxNotes         = 50
	maxNoteTextBytes = 500
)

// notable gives the first notes by namespace and name, with short texts.
func (x *ingressIndex) notable() status.Ingresses {
	all := slices.SortedFunc(maps.Keys(x.notes), func(a, b types.NamespacedName) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	notes := status.Ingresses{Total: len(all)}
	for _, key := range all[:min(len(all), maxNotes)] {
		note := x.notes[key]
		note.Text = excerpt.Of(note.Text, maxNoteTextBytes)
		notes.Noted = append(notes.Noted, note)
	}
	return notes
}
