package watcher

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/watcher/servicestate"
)

// stateInput is a message to the state loop. The loop's goroutine applies it;
// changed asks for an update of the state.
type stateInput interface {
	apply(*stateLoop) (changed bool)
}

// send hands an input to the loop, and returns when the loop has it.
func (l *stateLoop) send(ctx context.Context, input stateInput) {
	select {
	case l.inputs <- input:
	case <-ctx.Done():
	}
}

// configInput is a version of the migration config; nil: it does not exist.
type configInput struct{ configMap *corev1.ConfigMap }

func (in configInput) apply(l *stateLoop) bool {
	l.config.take(in.configMap)
	l.polls.pollNow()
	return true
}

// storedStateInput is a version of migration-state; nil: it does not exist.
type storedStateInput struct{ configMap *corev1.ConfigMap }

func (in storedStateInput) apply(l *stateLoop) bool {
	l.store.take(in.configMap)
	return true
}

// replicasInput is the result of one poll.
type replicasInput struct{ replicas []kube.Replica }

func (in replicasInput) apply(l *stateLoop) bool {
	before := l.replicas
	l.replicas = servicestate.MergeStatuses(before, in.replicas, time.Now())
	l.polled = true
	l.logReachability(before)
	l.leaveOutVanished()
	return true
}

// reconciledInput is the result of reconciling an Ingress.
type reconciledInput struct{ ingress reconciledIngress }

// apply queues the Ingress again if the desired state has changed since: the
// index did not have it yet when the change was published. A new note is a change.
func (in reconciledInput) apply(l *stateLoop) bool {
	noted := l.index.put(in.ingress)
	if !in.ingress.gone && in.ingress.revision < l.desired.Load().Revision {
		l.ingresses.Add(in.ingress.key)
	}
	return noted
}

// ingressReconciled implements ingressResults.
func (l *stateLoop) ingressReconciled(ctx context.Context, ingress reconciledIngress) {
	l.send(ctx, reconciledInput{ingress})
}
