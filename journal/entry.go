package journal

import (
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Kind is what sort of thing happened.
type Kind string

// The kinds. Those of a ramp are written by its controller.
const (
	Share          Kind = "share"           // percentage or enabled was changed in the config
	Changed        Kind = "changed"         // another setting was changed, or a service came or went
	ConfigRejected Kind = "config_rejected" // the newest config is not in force
	ConfigAccepted Kind = "config_accepted" // it is again
	FellBack       Kind = "fell_back"       // new fails: the service is on old in all replicas
	Recovered      Kind = "recovered"       // traffic goes through the proxy again
	Bypassed       Kind = "bypassed"        // traffic goes past the proxy
	Tripped        Kind = "tripped"         // the circuit breaker of one replica
	Returned       Kind = "returned"        // that replica sends traffic to new again
	Rewritten      Kind = "rewritten"       // an Ingress points at the proxy
	Reverted       Kind = "reverted"        // an Ingress points at old
	OptedIn        Kind = "opted_in"        // the user's annotation on an Ingress
	OptedOut       Kind = "opted_out"       // it is gone
	Paused         Kind = "paused"          // restore --all
	Resumed        Kind = "resumed"         // restore --resume
	RampAdvanced   Kind = "ramp_advanced"   // the position went up
	RampReturned   Kind = "ramp_returned"   // the position went down
	RampNeedsYou   Kind = "ramp_needs_you"  // it waits for a person
	RampChanged    Kind = "ramp_changed"    // any other transition, and commands
	Drilled        Kind = "drilled"         // a drill began or ended
)

// Kinds gives all kinds: those that global.notify may name.
func Kinds() []Kind {
	return []Kind{
		Share, Changed, ConfigRejected, ConfigAccepted, FellBack, Recovered, Bypassed, Tripped, Returned, Rewritten, Reverted,
		OptedIn, OptedOut, Paused, Resumed, RampAdvanced, RampReturned, RampNeedsYou, RampChanged, Drilled,
	}
}

// Entry is one thing that happened.
type Entry struct {
	// ID grows with each entry of a journal. It is 0 until the entry is in one.
	ID uint64 `json:"id"`
	// At is when it happened, in UTC.
	At   time.Time `json:"at"`
	Kind Kind      `json:"kind"`
	// Service is the name of a service of the config; "" for what concerns all.
	Service string `json:"service,omitempty"`
	// Object is the Ingress (NAMESPACE/NAME) or the Pod that it happened to; "" for none.
	Object string `json:"object,omitempty"`
	// Version is the resourceVersion of the Ingress that shows it; "" without an Ingress.
	Version string `json:"version,omitempty"`
	// From and To are the values before and after, a percentage or a phase for example.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// What is the change in words, without the service: "percentage 5 -> 25".
	What string `json:"what"`
	// Why is the reason in words; "" if nobody gave one.
	Why string `json:"why,omitempty"`
	// Evidence is what was counted until then; nil: nothing was.
	Evidence *Evidence `json:"evidence,omitempty"`
	// By is who did it, "alice (kubectl-edit)"; "" for what the program did itself.
	By string `json:"by,omitempty"`
	// Drill says that it happened because of a drill.
	Drill bool `json:"drill,omitempty"`
}

// Evidence is what was counted of a service before an entry.
type Evidence struct {
	// Since is when the counts began.
	Since time.Time `json:"since,omitzero"`
	Old   Side      `json:"old"`
	New   Side      `json:"new"`
	// Odds are the odds of a failure at new, in times of old's, with their interval of
	// 95 %; 0: not judged.
	Odds     float64 `json:"odds,omitempty"`
	OddsLow  float64 `json:"odds_low,omitempty"`
	OddsHigh float64 `json:"odds_high,omitempty"`
	// Bad and Good are the e-values of the judge.
	Bad  float64 `json:"e_bad,omitempty"`
	Good float64 `json:"e_good,omitempty"`
	// Replicas is how many replicas were counted.
	Replicas int `json:"replicas,omitempty"`
	// Digest is that of the config in force.
	Digest string `json:"config_digest,omitempty"`
	// Nginx is the version of nginx.
	Nginx string `json:"nginx,omitempty"`
}

// Side is what was counted of one side.
type Side struct {
	Requests uint64 `json:"requests"`
	Failed   uint64 `json:"failed"`
	Slow     uint64 `json:"slow"`
	// FailedRatio (0 to 1) and P99 (seconds) are of the last minute.
	FailedRatio float64 `json:"failed_ratio_last_minute"`
	P99         float64 `json:"latency_p99_seconds"`
}

// The limits of the texts of an entry, in bytes: 300 entries of ordinary length are
// about 100 KB.
const (
	maxNameBytes = 253
	maxWhatBytes = 300
	maxWhyBytes  = 600
	maxByBytes   = 200
)

// bounded is the entry with texts that fit and no line breaks in them.
func (e Entry) bounded() Entry {
	for text, limit := range map[*string]int{
		&e.Service: maxNameBytes, &e.Object: maxNameBytes, &e.Version: maxNameBytes, &e.From: maxByBytes, &e.To: maxByBytes,
		&e.What: maxWhatBytes, &e.Why: maxWhyBytes, &e.By: maxByBytes,
	} {
		*text = excerpt.Of(oneLine(*text), limit)
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	return e
}

// oneLine replaces line breaks and other control characters, which could forge lines in
// a terminal.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029' || c == '\ufffd' {
			return ' '
		}
		return c
	}, text)
}

// String is the entry as one sentence:
//
//	shop percentage 5 -> 25 by alice (kubectl-edit)
//	shop fell back: 2 of 3 ready replicas fell back
//	shop Ingress points at old (web/shop)
func (e Entry) String() string {
	text := strings.TrimSpace(e.Service + " " + e.What)
	if e.Object != "" {
		text += " (" + e.Object + ")"
	}
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Why != "" {
		text += ": " + e.Why
	}
	return text
}
