package watcher

import (
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/ingressgen"
	"github.com/migration-proxy/migration-proxy/internal/excerpt"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Verdict is the third net's judgement: the cluster's state, from what the
// replicas said and the state before. A service's host and prefix are the
// table's; one that the replicas still serve for another is not served.
//
//	ready replicas that serve it    before        after
//	none                            FallenBack    FallenBack
//	none, but one may any moment    any           as before
//	none                            any other     Bypassed
//	half or more have fallen back   any           FallenBack, with their reasons
//	some have fallen back           FallenBack    FallenBack
//	none has fallen back            FallenBack    FallenBack while one does not serve it, then Migrating,
//	                                              if one lived through it or recovery_time is over
//	not all (yet)                   Bypassed, ""  Bypassed
//	otherwise                       any           Migrating
//
// A replica that started after the fallback knows nothing of it: when all were
// replaced, nobody can say that new is well again. Then it counts as tried for
// only after the time that a replica itself would have waited.
//
// Reason and Since are those of the moment when the phase began, so that equal
// phases give equal states.
func Verdict(table *migration.Table, words []Word, previous status.Cluster, now time.Time) status.Cluster {
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
		next.Services[string(service.Name)] = judge(service, before, count(service, words, before.Since, now), now)
	}
	return next
}

// tally is how the replicas stand on one service.
type tally struct {
	ready    int      // replicas that get traffic
	serving  int      // of those, the ones that serve it
	lacking  int      // of those, the ones that do not, or have not said yet
	fallen   int      // of those, the ones that have fallen back
	evidence []string // their reasons
	witness  bool     // one of the serving ones lived through the fallback
	mute     []string // why ready ones cannot be asked
	silent   bool     // a ready one has not spoken yet
	leaving  bool     // one that served it is not ready since a moment
}

func count(service *migration.Service, words []Word, since, now time.Time) tally {
	var t tally
	over := !now.Before(since.Add(service.Fallback.RecoveryTime))
	for i := range words {
		word := &words[i]
		row := word.row(service)
		t.silent = t.silent || word.silent(now)
		t.leaving = t.leaving || word.leaving(now) && row != nil
		if word.Ready {
			t.ready++
		}
		if word.Ready && !word.counts(now) && word.Trouble != "" {
			t.mute = append(t.mute, word.Trouble)
		}
		if word.silent(now) || word.counts(now) && row == nil {
			t.lacking++
		}
		if !word.counts(now) || row == nil {
			continue
		}
		t.serving++
		t.witness = t.witness || over || word.Status.StartedAt.Before(since)
		if row.Phase == status.FallenBack {
			t.fallen++
			t.evidence = append(t.evidence, word.Pod+": "+row.Reason)
		}
	}
	return t
}

func judge(service *migration.Service, before status.ClusterService, t tally, now time.Time) status.ClusterService {
	phase, reason := decide(before, t)
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

// decide is the table of Verdict.
func decide(before status.ClusterService, t tally) (status.Phase, string) {
	fellBack := before.Phase == status.FallenBack
	switch {
	case t.serving == 0 && (fellBack || before.Phase != "" && (t.silent || t.leaving)):
		return before.Phase, before.Reason
	case t.ready == 0:
		return status.Bypassed, ingressgen.ReasonNoReplica
	case t.serving == 0 && len(t.mute) == t.ready:
		return status.Bypassed, excerpt.Of(fmt.Sprintf("%d ready replicas of the migration proxy cannot be asked: %s", t.ready, strings.Join(t.mute, "; ")), mostReason)
	case t.serving == 0:
		return status.Bypassed, ingressgen.ReasonNotServed
	case fellBack && (t.fallen > 0 || t.lacking > 0 || !t.witness):
		return before.Phase, before.Reason
	case t.fallen*2 < t.serving && t.lacking > 0 && before.Phase != status.Migrating:
		return status.Bypassed, reasonNotAll
	case t.fallen*2 >= t.serving:
		return status.FallenBack, t.why()
	}
	return status.Migrating, ""
}

// reasonNotAll: a replica that does not know a host answers 421 for it.
const reasonNotAll = "not every ready replica of the migration proxy serves it yet"

// mostReason, in bytes, keeps a reason short enough for an annotation and an
// Event (whose note may have 1 kB), however many replicas there are.
const mostReason = 600

// why is, for instance, "2 of 3 ready replicas fell back: proxy-a: 5 failures
// in 60s; proxy-b: 5 failures in 60s".
func (t tally) why() string {
	return excerpt.Of(fmt.Sprintf("%d of %d ready replicas fell back: %s", t.fallen, t.serving, strings.Join(t.evidence, "; ")), mostReason)
}
