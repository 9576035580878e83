package migration

import (
	"fmt"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Code is the constant part of a reason.
type Code string

// The reasons, in the order in which Decide checks them.
const (
	ReasonBadPath     Code = "bad_path"     // nginx answers 400
	ReasonUnknownHost Code = "unknown_host" // nginx answers 421
	ReasonUnknownPath Code = "unknown_path" // nginx answers 404
	ReasonDisabled    Code = "disabled"
	ReasonTripped     Code = "tripped"
	ReasonDirect      Code = "direct" // the request came in on the always-new listener
	ReasonHeaderRule  Code = "header_rule"
	ReasonIPRule      Code = "ip_rule"
	ReasonWeight      Code = "weight"
	ReasonUserHash    Code = "user_hash"
	ReasonCompare     Code = "compare"  // the agent asked one side on its own, see nginxgen.CompareNewSocket
	ReasonStrategy    Code = "strategy" // strategies header and ip: no rule matched, so old
)

// Reason is why Decide chose a side. Rule counts from 0 in file order; it is -1 if
// no rule matched.
type Reason struct {
	Code Code
	Rule int
	Text string // the same as a sentence
}

// String is the reason in logs and metrics, such as "header_rule[0]" or "weight".
func (r Reason) String() string {
	if r.Rule >= 0 {
		return fmt.Sprintf("%s[%d]", r.Code, r.Rule)
	}
	return string(r.Code)
}

// Decision is the result of Decide. Service is nil and Side is empty if the request
// belongs to no service. Bucket is -1 if no bucket decided.
type Decision struct {
	Service *Service
	Side    Side
	Reason  Reason
	Bucket  Bucket
	// Loose is true if no path_prefix covers the path, and the one of Service matches
	// it as Table.Route says.
	Loose bool
	// Open is true if Request.Dice decides and is not known: then Side is the more
	// likely side.
	Open bool
}

// Decide chooses the side for a request and gives the reason. The first of these
// that applies decides: disabled, tripped, the always-new listener, header rules in
// file order, IP rules (most specific network first), the strategy.
func (t *Table) Decide(r Request) Decision {
	path, ok := NormalizePath(r.Target)
	if !ok {
		return nowhere(ReasonBadPath, "the path cannot be decoded: 400")
	}
	host := NormalizeHost(r.Host)
	if !t.KnowsHost(host) {
		return nowhere(ReasonUnknownHost, fmt.Sprintf("no service has old_host %s: 421", excerpt.Quoted(host)))
	}
	service := t.Route(host, path)
	if service == nil {
		return nowhere(ReasonUnknownPath, fmt.Sprintf("no service for host %s has a path_prefix of %s: 404", excerpt.Quoted(host), excerpt.Quoted(path)))
	}
	decision := service.Decide(r)
	decision.Loose = !service.PathPrefix.Matches(path)
	return decision
}

func nowhere(code Code, text string) Decision {
	return Decision{Reason: Reason{code, -1, text}, Bucket: -1}
}

// Decide is Table.Decide for a request that belongs to this service.
func (s *Service) Decide(r Request) Decision {
	chain := []func(*Service, Request) (Decision, bool){
		disabled, tripped, direct, headerRules, ipRules, strategy,
	}
	for _, step := range chain {
		if decision, decided := step(s, r); decided {
			decision.Service = s
			return decision
		}
	}
	panic("a strategy always decides")
}

func because(side Side, code Code, rule int, format string, args ...any) (Decision, bool) {
	text := fmt.Sprintf(format, args...)
	return Decision{Side: side, Reason: Reason{code, rule, text}, Bucket: -1}, true
}

func disabled(s *Service, _ Request) (Decision, bool) {
	if s.Enabled {
		return Decision{}, false
	}
	return because(Old, ReasonDisabled, -1, "migration.enabled is false")
}

func tripped(_ *Service, r Request) (Decision, bool) {
	if !r.Tripped {
		return Decision{}, false
	}
	return because(Old, ReasonTripped, -1, "the fallback has tripped: all traffic goes to old")
}

func direct(_ *Service, r Request) (Decision, bool) {
	if !r.Direct {
		return Decision{}, false
	}
	return because(New, ReasonDirect, -1, "the request came in on the always-new listener")
}

func headerRules(s *Service, r Request) (Decision, bool) {
	for i, rule := range s.HeaderRules {
		if rule.Matches(r.header(rule.Header.Key())) {
			return because(rule.Target, ReasonHeaderRule, i, "canary.header_rules[%d]: header %s matches", i, rule.Header)
		}
	}
	return Decision{}, false
}

func ipRules(s *Service, r Request) (Decision, bool) {
	i := mostSpecific(s.IPRules, r.Client)
	if i < 0 {
		return Decision{}, false
	}
	return because(s.IPRules[i].Target, ReasonIPRule, i, "canary.ip_rules[%d]: client %s is in %s", i, r.Client, s.IPRules[i].Network)
}

func strategy(s *Service, r Request) (Decision, bool) {
	switch s.Strategy {
	case StrategyWeight:
		return byDice(s, r)
	case StrategyUserHash:
		return byUser(s, r)
	}
	return because(Old, ReasonStrategy, -1, "strategy %s: no rule matches, so old", s.Strategy)
}

func byDice(s *Service, r Request) (Decision, bool) {
	return dice(s, r, ReasonWeight, fmt.Sprintf("weight: %s %% of requests go to new, each by its own dice", s.Share))
}

// bySticky decides as nginx does: the answer to a request without the cookie sets it to
// the bucket of this request's dice.
func bySticky(s *Service, r Request) (Decision, bool) {
	name := s.HashKey.Name
	if bucket, ok := StickyBucket(r.Header["cookie"], name); ok {
		return byBucket(s, ReasonUserHash, bucket, "cookie "+name)
	}
	return dice(s, r, ReasonUserHash, fmt.Sprintf("user_hash: %s %% of requests without cookie %s go to new, and the answer sets it", s.Share, name))
}

// dice decides by Request.Dice. If it is not known, the text says what is.
func dice(s *Service, r Request, code Code, text string) (Decision, bool) {
	if r.Dice != "" {
		bucket := BucketOf(r.Dice)
		if s.WholeDice() {
			bucket -= Bucket(bucket.Low())
		}
		return byBucket(s, code, bucket, "the dice")
	}
	side := Old
	if s.Share > FullShare/2 {
		side = New
	}
	decision, _ := because(side, code, -1, "%s", text)
	decision.Open = s.Share > 0 && s.Share < FullShare
	return decision, true
}

func byUser(s *Service, r Request) (Decision, bool) {
	if s.Sticky() {
		return bySticky(s, r)
	}
	key, from := s.HashKey.value(r), s.HashKey.String()
	if key == "" && r.Client.IsValid() {
		key, from = string(r.Client.AsSlice()), "client address "+r.Client.String()
	}
	if key == "" {
		return byDice(s, r)
	}
	return byBucket(s, ReasonUserHash, BucketOf(s.Salt()+":"+key), from)
}

func (k HashKey) value(r Request) string {
	switch k.Source {
	case KeyHeader:
		return r.header(headerKey(k.Name))
	case KeyCookie:
		return cookie(r.Header["cookie"], k.Name)
	}
	return ""
}

func byBucket(s *Service, code Code, bucket Bucket, from string) (Decision, bool) {
	side, relation := Old, "is not"
	if int(bucket) < int(s.Share) {
		side, relation = New, "is"
	}
	decision, _ := because(side, code, -1, "%s falls into bucket %d, which %s below %d (%s %%)", from, bucket, relation, s.Share, s.Share)
	decision.Bucket = bucket
	return decision, true
}
