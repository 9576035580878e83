package watcher

import (
	"cmp"
	"sync/atomic"
	"time"

	networkingv1 "k8s.io/api/networking/v1"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/watcher/clusterjournal"
	"github.com/migration-proxy/migration-proxy/watcher/desiredstate"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/objects"
)

// ingressJournal hands to the journal what happened to Ingresses.
type ingressJournal struct {
	writer  *clusterjournal.Writer
	desired *atomic.Pointer[desiredstate.State]
}

// record writes to the journal what happened to an Ingress: a transition, and that its
// user opted in or out.
func (j ingressJournal) record(before, after *networkingv1.Ingress, transition *events.Event) {
	ingress := cmp.Or(after, before)
	entry := journal.Entry{At: time.Now(), Service: j.serviceOf(ingress), Object: kube.KeyOf(ingress).String(), Version: ingress.ResourceVersion}
	from, to := optedInText(before), optedInText(after)
	if from != to && !objects.IsOurs(ingress) {
		opted := entry
		opted.Kind, opted.What, opted.From, opted.To = journal.OptedIn, "Ingress opted in", from, to
		if to == journal.OptedInText(false) {
			opted.Kind, opted.What = journal.OptedOut, "Ingress opted out"
		}
		write := &clusterjournal.Write{Object: entry.Object, From: from, To: to, Manager: clusterjournal.LastManager(ingress)}
		if after == nil {
			opted.What, write = "Ingress deleted", nil
		}
		j.writer.Add(clusterjournal.Change{At: time.Now(), Entry: opted, Write: write, Events: ingress})
	}
	if transition == nil {
		return
	}
	entry.Kind, entry.From, entry.To = journal.Reverted, string(events.PhaseOf(before)), string(events.PhaseOf(after))
	entry.What, entry.Why = "Ingress points at old", after.Annotations[ingressgen.AnnotationReason]
	if events.PhaseOf(after) == status.Migrating {
		entry.Kind, entry.What = journal.Rewritten, "Ingress points at the proxy"
	}
	j.writer.Append(entry)
}

// serviceOf is the service that an Ingress belongs to; "" if there are several.
func (j ingressJournal) serviceOf(ingress *networkingv1.Ingress) string {
	if named := ingress.Annotations[ingressgen.AnnotationService]; named != "" {
		return named
	}
	desired := j.desired.Load()
	if desired == nil || desired.Table == nil {
		return ""
	}
	services := map[migration.Name]struct{}{}
	for i := range ingress.Spec.Rules {
		for _, service := range desired.Table.OfHost(migration.Host(ingress.Spec.Rules[i].Host)) {
			services[service.Name] = struct{}{}
		}
	}
	if len(services) == 1 {
		for name := range services {
			return string(name)
		}
	}
	return ""
}

// optedInText is how the notes write whether an Ingress has opted in.
func optedInText(ingress *networkingv1.Ingress) string {
	return journal.OptedInText(ingress != nil && ingress.Annotations[ingressgen.AnnotationEnabled] == "true")
}
