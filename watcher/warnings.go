package watcher

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// tellRefusals writes an Event for each config that a replica refused, once.
// What we could not load either is told already.
func (o *owner) tellRefusals() {
	refusals := o.refusals
	o.refusals = nil
	for i := range o.words {
		word := &o.words[i]
		rejected := word.Status.Config.Rejected
		if rejected == nil || o.configMap == nil {
			continue
		}
		if o.refusals == nil {
			o.refusals = map[string]time.Time{}
		}
		o.refusals[word.Pod] = rejected.At
		if refusals[word.Pod].Equal(rejected.At) || o.rejected != "" && rejected.Stage == "load" {
			continue
		}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: o.configMap.Namespace, Name: word.Pod}}
		o.events.about(o.configMap, pod, note{corev1.EventTypeWarning, EventReplica, fmt.Sprintf(
			"replica %s keeps its last config, because this one failed at stage %q: %s",
			word.Pod, rejected.Stage, strings.Join(rejected.Problems, "; "))})
	}
}

// tellTroubles logs which ready replica cannot be asked, once, and that it can
// be again.
func (o *owner) tellTroubles(before []Word) {
	for i := range o.words {
		word := &o.words[i]
		known := earlier(before, word.Endpoint, word.First).Trouble
		switch {
		case word.Trouble != "" && known == "":
			o.log.Warn("A ready replica cannot be asked for its status", "pod", word.Pod, "error", word.Trouble)
		case word.Answered && known != "":
			o.log.Info("The replica can be asked again", "pod", word.Pod)
		}
	}
}
