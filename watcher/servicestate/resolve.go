package servicestate

import (
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// MaxReasonBytes bounds a reason, so that it fits in an annotation and an
// Event (whose note may have 1 kB), however many replicas there are.
const MaxReasonBytes = 600

// reasonNotAll is a reason because a replica that does not know a host answers
// 421 for it.
const reasonNotAll = "not every ready replica of the migration proxy serves it yet"

// Resolve returns the state of all services: the cluster failover. It follows
// from what the replicas reported and from the state before. A service is
// served by a replica that reports it with the table's host and path prefix.
//
//	ready replicas that serve it    before        after
//	none                            FallenBack    FallenBack
//	none, but one may any moment    any           as before
//	none                            any other     Bypassed
//	half or more have fallen back   any           FallenBack, with their reasons
//	some have fallen back           FallenBack    FallenBack
//	none has fallen back            FallenBack    FallenBack while a ready one does not serve it, then
//	                                              Migrating, if a replica was already running at the
//	                                              fallback, or recovery_time is over
//	not all (yet)                   Bypassed, ""  Bypassed
//	otherwise                       any           Migrating
//
// A replica that started after the fallback does not know of it. When all
// replicas were replaced, none can say that new works again, and the service
// stays FallenBack for recovery_time, which a replica itself would have waited.
//
// Reason and Since are those of the moment when the phase began, so that equal
// phases give equal states. Without a table no service has a state.
func Resolve(table *migration.Table, replicas []ReplicaStatus, previous status.Cluster, now time.Time) status.Cluster {
	next := status.Cluster{Services: map[string]status.ClusterService{}, Paused: previous.Paused}
	if table == nil {
		return next
	}
	for i := range table.Services() {
		service := &table.Services()[i]
		before := previous.Services[string(service.Name)]
		if before.Host != string(service.OldHost) || before.PathPrefix != string(service.PathPrefix) {
			before = status.ClusterService{}
		}
		counts := countReplicas(service, replicas, before.Since, now)
		next.Services[string(service.Name)] = resolveService(service, before, counts, now)
	}
	return next
}

// replicaCounts counts the replicas by what they report of one service.
type replicaCounts struct {
	ready           int      // replicas that get traffic
	serving         int      // ready replicas that serve it
	notServing      int      // ready replicas that do not serve it, or have not answered yet
	fallenBack      int      // serving replicas that have fallen back
	fallbackReasons []string // the reasons of those
	witness         bool     // a serving replica ran already at the fallback, or recovery_time is over
	lastErrors      []string // why ready replicas do not answer
	starting        bool     // a ready replica has not answered yet
	flapping        bool     // a replica that served it is not ready since a moment
}

func countReplicas(service *migration.Service, replicas []ReplicaStatus, since, now time.Time) replicaCounts {
	var counts replicaCounts
	recovered := !now.Before(since.Add(service.Fallback.RecoveryTime))
	for i := range replicas {
		replica := &replicas[i]
		reported := replica.service(service)
		counts.addEndpoint(replica, reported != nil, now)
		if !replica.fresh(now) || reported == nil {
			continue
		}
		counts.serving++
		counts.witness = counts.witness || recovered || replica.Status.StartedAt.Before(since)
		if reported.Phase == status.FallenBack {
			counts.fallenBack++
			counts.fallbackReasons = append(counts.fallbackReasons, replica.Pod+": "+reported.Reason)
		}
	}
	return counts
}

func (c *replicaCounts) addEndpoint(replica *ReplicaStatus, serves bool, now time.Time) {
	c.starting = c.starting || replica.starting(now)
	c.flapping = c.flapping || replica.flapping(now) && serves
	if replica.Ready {
		c.ready++
	}
	if replica.Ready && !replica.fresh(now) && replica.LastError != "" {
		c.lastErrors = append(c.lastErrors, replica.LastError)
	}
	if replica.starting(now) || replica.fresh(now) && !serves {
		c.notServing++
	}
}

func resolveService(service *migration.Service, before status.ClusterService, counts replicaCounts, now time.Time) status.ClusterService {
	phase, reason := resolvePhase(before, counts)
	if phase == before.Phase && (phase != status.Bypassed || reason == before.Reason) {
		return before
	}
	after := status.ClusterService{
		Host: string(service.OldHost), PathPrefix: string(service.PathPrefix),
		Phase: phase, Reason: reason, Since: now.UTC().Truncate(time.Second),
	}
	if phase == before.Phase {
		after.Since = before.Since
	}
	return after
}

// resolvePhase is the table of Resolve.
func resolvePhase(before status.ClusterService, counts replicaCounts) (status.Phase, string) {
	wasFallenBack := before.Phase == status.FallenBack
	mayBeServed := counts.starting || counts.flapping
	switch {
	case counts.serving == 0 && (wasFallenBack || before.Phase != "" && mayBeServed):
		return before.Phase, before.Reason
	case counts.ready == 0:
		return status.Bypassed, ingressgen.ReasonNoReplica
	case counts.serving == 0 && len(counts.lastErrors) == counts.ready:
		return status.Bypassed, counts.unreachableReason()
	case counts.serving == 0:
		return status.Bypassed, ingressgen.ReasonNotServed
	case wasFallenBack && (counts.fallenBack > 0 || counts.notServing > 0 || !counts.witness):
		return before.Phase, before.Reason
	case counts.fallenBack*2 < counts.serving && counts.notServing > 0 && before.Phase != status.Migrating:
		return status.Bypassed, reasonNotAll
	case counts.fallenBack*2 >= counts.serving:
		return status.FallenBack, counts.fallbackReason()
	}
	return status.Migrating, ""
}

// fallbackReason is, for instance, "2 of 3 ready replicas fell back: proxy-a:
// 5 failures in 60s; proxy-b: 5 failures in 60s".
func (c *replicaCounts) fallbackReason() string {
	reasons := strings.Join(c.fallbackReasons, "; ")
	return excerpt.Of(fmt.Sprintf("%d of %d ready replicas fell back: %s", c.fallenBack, c.serving, reasons), MaxReasonBytes)
}

func (c *replicaCounts) unreachableReason() string {
	errors := strings.Join(c.lastErrors, "; ")
	return excerpt.Of(fmt.Sprintf("the status of %d ready replicas of the migration proxy cannot be fetched: %s", c.ready, errors), MaxReasonBytes)
}
