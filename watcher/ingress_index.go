package watcher

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
)

// reconciledIngress is the result of reconciling one Ingress: what must be
// known to find it again when a service changes, and what its user should know.
type reconciledIngress struct {
	key      types.NamespacedName
	revision uint64 // of the desired state
	gone     bool   // it has not opted in, or does not exist; the fields below, but for note, are not set
	services []migration.Name
	hosts    []migration.Host
	phase    status.Phase
	note     string // what its user should know, also if it is gone; "" is nothing
}

// newReconciledIngress takes the services that the Ingress matches, the one
// that its annotation names, and its hosts.
func newReconciledIngress(ingress *networkingv1.Ingress, report ingressgen.Report, revision uint64) reconciledIngress {
	r := reconciledIngress{
		key: kube.KeyOf(ingress), revision: revision, phase: report.Phase, gone: report.Phase == "",
		services: slices.Clone(report.Services), note: noteOf(report),
	}
	if named := ingress.Annotations[ingressgen.AnnotationService]; named != "" {
		r.services = append(r.services, migration.Name(named))
	}
	for i := range ingress.Spec.Rules {
		r.hosts = append(r.hosts, migration.Host(ingress.Spec.Rules[i].Host))
	}
	return r
}

// noteOf is what the user of the Ingress should know; "" is nothing.
func noteOf(report ingressgen.Report) string {
	return strings.Join(slices.Sorted(slices.Values(report.Warnings)), "; ")
}

type keySet map[types.NamespacedName]struct{}

// ingressIndex finds the Ingresses that a change may concern, so that not all
// are reconciled again. Each Ingress enters it when it is first reconciled.
type ingressIndex struct {
	ingresses map[types.NamespacedName]reconciledIngress
	byService map[migration.Name]keySet
	byHost    map[migration.Host]keySet
	notes     map[types.NamespacedName]status.IngressNote
}

func newIngressIndex() *ingressIndex {
	return &ingressIndex{
		ingresses: map[types.NamespacedName]reconciledIngress{},
		byService: map[migration.Name]keySet{},
		byHost:    map[migration.Host]keySet{},
		notes:     map[types.NamespacedName]status.IngressNote{},
	}
}

// put replaces what is known of an Ingress. It tells whether the notes have changed.
func (x *ingressIndex) put(r reconciledIngress) (noted bool) {
	x.putServices(r)
	before := x.notes[r.key]
	if r.note == "" {
		delete(x.notes, r.key)
		return before.Text != ""
	}
	x.notes[r.key] = status.IngressNote{Namespace: r.key.Namespace, Name: r.key.Name, Phase: r.phase, Text: r.note}
	return x.notes[r.key] != before
}

func (x *ingressIndex) putServices(r reconciledIngress) {
	before := x.ingresses[r.key]
	for _, service := range before.services {
		drop(x.byService, service, r.key)
	}
	for _, host := range before.hosts {
		drop(x.byHost, host, r.key)
	}
	if r.gone {
		delete(x.ingresses, r.key)
		return
	}
	x.ingresses[r.key] = r
	for _, service := range r.services {
		add(x.byService, service, r.key)
	}
	for _, host := range r.hosts {
		add(x.byHost, host, r.key)
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
		count[ingress.phase]++
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
