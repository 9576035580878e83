package watcher

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/migration-proxy/migration-proxy/watcher/events"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// replicaWarnings tells people what is wrong with replicas, each thing once. Only the
// state loop uses it.
type replicaWarnings struct {
	events *events.Writer
	log    *slog.Logger

	rejections map[string]time.Time              // by pod: the rejected config that has an Event
	deviations map[string]struct{}               // services that have an Event: their share is not the wanted one
	deviating  atomic.Pointer[map[string]string] // why, for the ramp controller
}

// reportRejections writes an Event for each config that a replica rejected,
// once. A config that the watcher could not load either has an Event already.
func (w *replicaWarnings) reportRejections(config *configState, replicas []servicestate.ReplicaStatus) {
	reported := w.rejections
	w.rejections = nil
	for i := range replicas {
		replica := &replicas[i]
		rejected := replica.Status.Config.Rejected
		if rejected == nil || config.configMap == nil {
			continue
		}
		if w.rejections == nil {
			w.rejections = map[string]time.Time{}
		}
		w.rejections[replica.Pod] = rejected.At
		if reported[replica.Pod].Equal(rejected.At) || config.rejected != "" && rejected.Stage == "load" {
			continue
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: config.configMap.Namespace, Name: replica.Pod}}
		w.events.WriteAbout(config.configMap, pod, events.Warning(events.ReplicaRejectsConfig, fmt.Sprintf(
			"replica %s keeps its last config, because this one failed at stage %q: %s",
			replica.Pod, rejected.Stage, strings.Join(rejected.Problems, "; "))))
	}
}

// reportDeviations writes an Event for each service whose traffic does not have the
// share that is wanted, once until it has.
func (w *replicaWarnings) reportDeviations(config *configState, replicas []servicestate.ReplicaStatus, now time.Time) {
	reported := w.deviations
	w.deviations = map[string]struct{}{}
	deviating := map[string]string{}
	defer w.deviating.Store(&deviating)
	if config.configMap == nil {
		return
	}
	for _, row := range servicestate.Sum(servicestate.Served(replicas)) {
		text := row.Deviation(now)
		if text == "" {
			continue
		}
		w.deviations[row.Name], deviating[row.Name] = struct{}{}, text
		if _, known := reported[row.Name]; !known {
			w.events.Write(config.configMap, events.Warning(events.ShareDeviates, "service "+row.Name+": "+text))
		}
	}
}

// logReachability logs that the status of a ready replica cannot be fetched,
// once, and that it can be fetched again.
func (w *replicaWarnings) logReachability(before, replicas []servicestate.ReplicaStatus) {
	for i := range replicas {
		replica := &replicas[i]
		lastError := servicestate.LastErrorOf(before, replica.Endpoint)
		switch {
		case replica.LastError != "" && lastError == "":
			w.log.Warn("status of a ready replica cannot be fetched", "pod", replica.Pod, "error", replica.LastError)
		case replica.Answered && lastError != "":
			w.log.Info("status of the replica can be fetched again", "pod", replica.Pod)
		}
	}
}
