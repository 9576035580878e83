package watcher

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// reportRejections writes an Event for each config that a replica rejected,
// once. A config that the watcher could not load either has an Event already.
func (l *stateLoop) reportRejections() {
	reported := l.rejections
	l.rejections = nil
	for i := range l.replicas {
		replica := &l.replicas[i]
		rejected := replica.Status.Config.Rejected
		if rejected == nil || l.config.configMap == nil {
			continue
		}
		if l.rejections == nil {
			l.rejections = map[string]time.Time{}
		}
		l.rejections[replica.Pod] = rejected.At
		if reported[replica.Pod].Equal(rejected.At) || l.config.rejected != "" && rejected.Stage == "load" {
			continue
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: l.config.configMap.Namespace, Name: replica.Pod}}
		l.events.WriteAbout(l.config.configMap, pod, events.Warning(events.ReplicaRejectsConfig, fmt.Sprintf(
			"replica %s keeps its last config, because this one failed at stage %q: %s",
			replica.Pod, rejected.Stage, strings.Join(rejected.Problems, "; "))))
	}
}

// reportDeviations writes an Event for each service whose traffic does not have the
// share that is wanted, once until it has.
func (l *stateLoop) reportDeviations(now time.Time) {
	reported := l.deviations
	l.deviations = map[string]struct{}{}
	deviating := map[string]string{}
	defer l.deviating.Store(&deviating)
	if l.config.configMap == nil {
		return
	}
	for _, row := range l.servedRows(asItIs) {
		text := row.Deviation(now)
		if text == "" {
			continue
		}
		l.deviations[row.Name], deviating[row.Name] = struct{}{}, text
		if _, known := reported[row.Name]; !known {
			l.events.Write(l.config.configMap, events.Warning(events.ShareDeviates, "service "+row.Name+": "+text))
		}
	}
}

// servedRows are the services of the replicas that get traffic, with the sum of
// their splits, as each of the rows is after the change.
func (l *stateLoop) servedRows(change func(pod string, row status.Service) status.Service) map[string]status.Service {
	rows := map[string]status.Service{}
	replicas := l.rowsByReplica()
	for _, pod := range slices.Sorted(maps.Keys(replicas)) {
		for _, own := range replicas[pod] {
			own = change(pod, own)
			own.Split = own.Split.Plus(rows[own.Name].Split)
			rows[own.Name] = own
		}
	}
	return rows
}

func asItIs(_ string, row status.Service) status.Service { return row }

// vanishedReplicas are the addresses that our Services leave out. The state loop writes
// them, the reconciler of Services reads them.
type vanishedReplicas = atomic.Pointer[map[netip.Addr]struct{}]

// leaveOutVanished makes our Services leave out the replicas that take no connections any
// more, before Kubernetes notices that they are gone.
func (l *stateLoop) leaveOutVanished() {
	vanished := servicestate.Vanished(l.replicas)
	var before map[netip.Addr]struct{}
	if known := l.vanished.Swap(&vanished); known != nil {
		before = *known
	}
	if maps.Equal(before, vanished) {
		return
	}
	l.changes.queueAllServices()
	if len(vanished) > 0 {
		l.log.Warn("replicas that take no connections are left out of the endpoints", "addresses", slices.Collect(maps.Keys(vanished)))
		return
	}
	l.log.Info("no replica is left out of the endpoints any more")
}

// logReachability logs that the status of a ready replica cannot be fetched,
// once, and that it can be fetched again.
func (l *stateLoop) logReachability(before []servicestate.ReplicaStatus) {
	for i := range l.replicas {
		replica := &l.replicas[i]
		lastError := servicestate.LastErrorOf(before, replica.Endpoint)
		switch {
		case replica.LastError != "" && lastError == "":
			l.log.Warn("status of a ready replica cannot be fetched", "pod", replica.Pod, "error", replica.LastError)
		case replica.Answered && lastError != "":
			l.log.Info("status of the replica can be fetched again", "pod", replica.Pod)
		}
	}
}
