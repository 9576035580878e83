package status

import (
	"fmt"
	"math"
	"time"
)

// Split counts the requests whose side the percentage decided: a bucket of the
// strategy weight. Requests that a header or IP rule decided are not among them,
// and a request that new failed and old answered counts as sent to new.
type Split struct {
	// Since is when counting began: when the share was last changed (also by a
	// fallback or the end of one), when the agent started, or after 100,000 requests.
	Since time.Time `json:"since"`
	// Share is the percentage in force since then; 0 while the service is disabled or
	// has fallen back.
	Share float64 `json:"share_percent"`
	// Requests is how many requests the percentage decided.
	Requests uint64 `json:"requests"`
	// New is how many of them went to new.
	New uint64 `json:"new"`
	// Direct is how many requests of the last minute came in on port 8001: the ingress
	// controller chose new for them (mode canary).
	Direct uint64 `json:"direct_last_minute"`
}

// Plus adds the split of another replica. Of two with different shares, which are
// of different times, the later counts alone.
func (s Split) Plus(other Split) Split {
	direct := s.Direct + other.Direct
	later := s
	if other.Since.After(s.Since) {
		later = other
	}
	if s.Share == other.Share && !s.Since.IsZero() && !other.Since.IsZero() {
		later.Requests, later.New = s.Requests+other.Requests, s.New+other.New
	}
	later.Direct = direct
	return later
}

// falseAlarm is the probability that a split which is right is called deviating at
// one look. Looking at 1,000 services every second for a year is 3e10 looks:
// one false alarm in 30 years.
const falseAlarm = 1e-12

// smallestShare stands for 0 %, and one minus it for 100 %, when a split is judged:
// half of the smallest share above 0. With exactly 0 a single stray request would
// be an alarm.
const smallestShare = 0.5 / 10000

// Deviates tells whether chance does not explain the difference between the share
// and the part of the requests that went to new. It is Chernoff's bound for a binomial
// distribution: when each of n requests goes to new with probability p, the
// probability of a part as far from p as q on the same side is at most exp(-n D),
//
//	D = q ln(q/p) + (1-q) ln((1-q)/(1-p))
//
// so the split deviates when n D > ln(2/falseAlarm) = 28.3. With 25 % wanted:
//
//	requests   new   observed   D        n D     deviates
//	4000       0     0.0 %      0.2877   1151    yes
//	98         0     0.0 %      0.2877   28.2    no, too few to tell
//	99         0     0.0 %      0.2877   28.5    yes
//	4000       880   22.0 %     0.0025   9.9     no
//	4000       800   20.0 %     0.0070   28.0    no
//	4000       790   19.8 %     0.0077   31.0    yes
func (s Split) Deviates() bool {
	if s.Requests == 0 {
		return false
	}
	p := min(max(s.Share/100, smallestShare), 1-smallestShare)
	q := float64(s.New) / float64(s.Requests)
	return float64(s.Requests)*divergence(q, p) > math.Log(2/falseAlarm)
}

// divergence is the relative entropy of two coins, in nats.
func divergence(q, p float64) float64 { return term(q, p) + term(1-q, 1-p) }

func term(q, p float64) float64 {
	if q == 0 {
		return 0 // the limit
	}
	return q * math.Log(q/p)
}

// canarySettled is how long a share of 0 has been in force when requests on port 8001
// are no longer those from before: a minute of counting, and the time that the
// watcher and the ingress controller need.
const canarySettled = 90 * time.Second

// Deviation says how what is served differs from what is wanted; "" if it does not,
// or if nobody can tell. Of mode canary the proxy sees only what the ingress
// controller sends to new, so it can tell only that there must be none: see
// docs/operations.md.
func (s Service) Deviation(now time.Time) string {
	switch {
	case s.Strategy != "weight": // few users decide a user_hash, and rules the others
		return ""
	case s.Split.Deviates():
		return fmt.Sprintf("observed %.1f %% of %d requests, %s %% wanted since %s",
			100*float64(s.Split.New)/float64(s.Split.Requests), s.Split.Requests, formatPercent(s.Split.Share), s.Split.Since.UTC().Format(time.RFC3339))
	case s.Split.Direct > 0 && s.sendsNone() && now.Sub(s.Split.Since) > canarySettled:
		return fmt.Sprintf("the ingress controller sent %d requests of the last minute to new (port 8001), and no share is wanted there", s.Split.Direct)
	}
	return ""
}

// sendsNone tells whether a companion of mode canary has weight 0 and no header.
func (s Service) sendsNone() bool {
	return s.Phase == Disabled || s.Phase == Migrating && s.Share == 0 && !s.RulesToNew
}

func formatPercent(share float64) string { return fmt.Sprintf("%.4g", share) }
