package servicestate

import (
	"cmp"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	// readinessGrace is how long a replica that is not ready any more, or is
	// gone, keeps the state of its services when no other replica serves them:
	// an endpoint that flaps must not move every Ingress away and back.
	readinessGrace = 2 * time.Second
	// staleAfter is how long the last status of a ready replica counts when
	// newer ones cannot be fetched, and how long a new replica may take to
	// answer first.
	staleAfter = 10 * time.Second
)

// ReplicaStatus is the last known status of one replica.
type ReplicaStatus struct {
	kube.Endpoint               // as last seen; not Ready when it is gone
	FirstSeen     time.Time     // when its endpoint first appeared
	LastReady     time.Time     // when it was last seen ready; zero: never
	Answered      bool          // the last request succeeded
	LastAnswer    time.Time     // when it last answered; zero: never
	Status        status.Status // its last answer
	Unreachable   int           // the last requests in a row that found no pod at the address
	LastError     string        // of a ready replica that does not answer: the first error since its last answer
}

// MergeStatuses brings the known statuses up to date with the replicas that
// the cluster has now. A replica that is gone stays for readinessGrace (2 s)
// after it was last ready. The result is sorted by pod.
func MergeStatuses(known []ReplicaStatus, replicas []kube.Replica, now time.Time) []ReplicaStatus {
	byPod := map[string]ReplicaStatus{}
	for _, replica := range known {
		replica.Ready, replica.Answered = false, false
		if now.Sub(replica.LastReady) <= readinessGrace {
			byPod[replica.Pod] = replica
		}
	}
	for _, replica := range replicas {
		byPod[replica.Pod] = mergeStatus(previous(known, replica.Endpoint, now), replica, now)
	}
	return slices.SortedFunc(maps.Values(byPod), func(a, b ReplicaStatus) int { return cmp.Compare(a.Pod, b.Pod) })
}

// previous is the known status of a replica. A pod of the same name at another
// address is another replica.
func previous(known []ReplicaStatus, endpoint kube.Endpoint, now time.Time) ReplicaStatus {
	for _, replica := range known {
		if replica.Pod == endpoint.Pod && replica.Address == endpoint.Address {
			return replica
		}
	}
	return ReplicaStatus{FirstSeen: now}
}

func mergeStatus(known ReplicaStatus, replica kube.Replica, now time.Time) ReplicaStatus {
	known.Endpoint = replica.Endpoint
	if known.Ready {
		known.LastReady = now
	}
	known.Answered = replica.Err == nil
	known.Unreachable++
	if !errors.Is(replica.Err, kube.ErrUnreachable) {
		known.Unreachable = 0
	}
	switch {
	case known.Answered:
		known.LastAnswer, known.Status, known.LastError = now, replica.Status, ""
	case !known.Ready:
		known.LastError = ""
	case known.LastError == "": // later errors may differ only in a port number
		known.LastError = replica.Err.Error()
	}
	return known
}

// vanishedAfter is how many requests in a row find no pod before its endpoint is left out.
const vanishedAfter = 2

// Vanished are the addresses of ready replicas that take no connections any more: a node
// that is cut off stays ready for Kubernetes for about 40 seconds. There are none while no
// other replica answers, because then it is the watcher that is cut off.
func Vanished(replicas []ReplicaStatus) map[netip.Addr]struct{} {
	vanished, answers := map[netip.Addr]struct{}{}, false
	for i := range replicas {
		answers = answers || replicas[i].Ready && replicas[i].Answered
		if replicas[i].Ready && replicas[i].Unreachable >= vanishedAfter {
			vanished[replicas[i].Address.Addr()] = struct{}{}
		}
	}
	if !answers {
		return nil
	}
	return vanished
}

// LastErrorOf is the LastError of the same replica in statuses; "" if there is
// none.
func LastErrorOf(statuses []ReplicaStatus, endpoint kube.Endpoint) string {
	return previous(statuses, endpoint, time.Time{}).LastError
}

// fresh reports whether the replica gets traffic and its status still counts.
func (r *ReplicaStatus) fresh(now time.Time) bool {
	return r.Ready && !r.LastAnswer.IsZero() && now.Sub(r.LastAnswer) <= staleAfter
}

// starting reports whether the replica gets traffic and may still give its
// first answer.
func (r *ReplicaStatus) starting(now time.Time) bool {
	return r.Ready && r.LastAnswer.IsZero() && now.Sub(r.FirstSeen) <= staleAfter
}

// flapping reports whether the replica got traffic a moment ago, and may get
// it again in a moment.
func (r *ReplicaStatus) flapping(now time.Time) bool {
	return !r.Ready && !r.LastReady.IsZero() && now.Sub(r.LastReady) <= readinessGrace
}

// service is what the replica reports of a service, with the host and path
// prefix that the table has; nil: it does not serve it (yet). A replica that
// has never found an address of old does not serve it either: it would answer
// 502 where the Ingress works. At 100 % nothing depends on old.
func (r *ReplicaStatus) service(wanted *migration.Service) *status.Service {
	reported := r.Status.Services
	i, ok := slices.BinarySearchFunc(reported, string(wanted.Name), func(service status.Service, name string) int {
		return cmp.Compare(service.Name, name)
	})
	if !ok || reported[i].OldHost != string(wanted.OldHost) || reported[i].PathPrefix != string(wanted.PathPrefix) {
		return nil
	}
	oldIsNeeded := wanted.EffectiveShare() < migration.FullShare
	if oldIsNeeded && len(reported[i].Old.Addresses) == 0 && reported[i].Old.Unresolved != "" {
		return nil
	}
	return &reported[i]
}

// Served are the services of the replicas that get traffic, by pod.
func Served(replicas []ReplicaStatus) map[string][]status.Service {
	rows := map[string][]status.Service{}
	for i := range replicas {
		if replicas[i].Ready && replicas[i].Answered {
			rows[replicas[i].Pod] = replicas[i].Status.Services
		}
	}
	return rows
}

// Sum has one row for each service, with the sum of the splits.
func Sum(served map[string][]status.Service) map[string]status.Service {
	rows := map[string]status.Service{}
	for _, pod := range slices.Sorted(maps.Keys(served)) {
		for _, own := range served[pod] {
			own.Split = own.Split.Plus(rows[own.Name].Split)
			rows[own.Name] = own
		}
	}
	return rows
}
