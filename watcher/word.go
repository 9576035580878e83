package watcher

import (
	"cmp"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

const (
	// blip is how long a replica that is not ready any more, or gone, still
	// speaks when no other does: an endpoint that flaps must not send every
	// Ingress away and back.
	blip = 2 * time.Second
	// believed is how long a ready replica's last word counts when it cannot
	// be asked, and how long a new one may be silent.
	believed = 10 * time.Second
)

// Word is the last that is known of one replica of the data plane.
type Word struct {
	kube.Endpoint               // as last seen; not Ready once it is gone
	First         time.Time     // when it was first seen
	LastReady     time.Time     // when it was last seen ready; zero: never
	Answered      bool          // when it was asked last
	Heard         time.Time     // when it last answered; zero: never
	Status        status.Status // its last answer
	Trouble       string        // of a ready one, why it cannot be asked: the first error since it answered
}

// Listen adds to the words what has been heard now: the answers of all
// replicas that the cluster has. Words of replicas that are gone stay for as
// long as they may matter. The result is sorted by pod.
func Listen(words []Word, replicas []kube.Replica, now time.Time) []Word {
	known := map[string]Word{}
	for _, word := range words {
		word.Ready, word.Answered = false, false
		if now.Sub(word.LastReady) <= blip {
			known[word.Pod] = word
		}
	}
	for _, replica := range replicas {
		known[replica.Pod] = listen(earlier(words, replica.Endpoint, now), replica, now)
	}
	next := make([]Word, 0, len(known))
	for _, word := range known {
		next = append(next, word)
	}
	slices.SortFunc(next, func(a, b Word) int { return cmp.Compare(a.Pod, b.Pod) })
	return next
}

// earlier is the word of the same replica before: same pod, same address.
func earlier(words []Word, endpoint kube.Endpoint, now time.Time) Word {
	for _, word := range words {
		if word.Pod == endpoint.Pod && word.Address == endpoint.Address {
			return word
		}
	}
	return Word{First: now}
}

func listen(word Word, replica kube.Replica, now time.Time) Word {
	word.Endpoint = replica.Endpoint
	if word.Ready {
		word.LastReady = now
	}
	word.Answered = replica.Err == nil
	switch {
	case word.Answered:
		word.Heard, word.Status, word.Trouble = now, replica.Status, ""
	case !word.Ready:
		word.Trouble = ""
	case word.Trouble == "": // later errors may differ in nothing but a port
		word.Trouble = replica.Err.Error()
	}
	return word
}

// counts: it gets traffic, and what it says is fresh enough.
func (w *Word) counts(now time.Time) bool {
	return w.Ready && !w.Heard.IsZero() && now.Sub(w.Heard) <= believed
}

// silent: it gets traffic and has not said anything yet, which may change.
func (w *Word) silent(now time.Time) bool {
	return w.Ready && w.Heard.IsZero() && now.Sub(w.First) <= believed
}

// leaving: it got traffic a moment ago, and may again in a moment.
func (w *Word) leaving(now time.Time) bool {
	return !w.Ready && !w.LastReady.IsZero() && now.Sub(w.LastReady) <= blip
}

// row is what the replica says of a service, for the host and prefix that the
// table has; nil: it does not serve it (yet). One that has never found an
// address of old would answer 502 where the Ingress works; at 100 % nothing
// depends on old.
func (w *Word) row(service *migration.Service) *status.Service {
	rows := w.Status.Services
	i, ok := slices.BinarySearchFunc(rows, string(service.Name), func(row status.Service, name string) int {
		return cmp.Compare(row.Name, name)
	})
	if !ok || rows[i].OldHost != string(service.OldHost) || rows[i].PathPrefix != string(service.PathPrefix) {
		return nil
	}
	oldIsNeeded := service.EffectiveShare() < migration.FullShare
	if oldIsNeeded && len(rows[i].Old.Addresses) == 0 && rows[i].Old.Unresolved != "" {
		return nil
	}
	return &rows[i]
}
