package migration

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Mode is how traffic gets from an Ingress to the proxy.
type Mode string

// The modes. In mode proxy all traffic goes through the proxy. In mode canary the
// ingress controller splits the traffic by canary annotations, and only the part for
// new goes through the proxy.
const (
	ModeProxy  Mode = "proxy"
	ModeCanary Mode = "canary"
)

// Strategy decides requests that match no rule.
type Strategy string

// The strategies: a random choice for each request, the hash of a key, or always old
// (then only the rules send traffic to new).
const (
	StrategyWeight   Strategy = "weight"
	StrategyUserHash Strategy = "user_hash"
	StrategyHeader   Strategy = "header"
	StrategyIP       Strategy = "ip"
)

// KeySource is the source of a user's key.
type KeySource string

// The key sources.
const (
	KeyHeader KeySource = "header"
	KeyCookie KeySource = "cookie"
	KeyIP     KeySource = "ip"
	KeySticky KeySource = "sticky"
)

// DefaultSticky is the name of the sticky cookie unless the config names another.
const DefaultSticky = "migration-proxy"

// HashKey is the value that user_hash hashes: a header, a cookie, or the client's
// address (then Name is empty). Source KeySticky hashes nothing: the proxy itself sets
// the cookie, and its value is the user's bucket, see StickyBucket.
type HashKey struct {
	Source KeySource
	Name   string
}

// ParseHashKey reads "header:NAME", "cookie:NAME", "ip", "sticky" or "sticky:NAME".
func ParseHashKey(text string) (HashKey, error) {
	source, name, _ := strings.Cut(text, ":")
	switch {
	case text == string(KeyIP):
		return HashKey{Source: KeyIP}, nil
	case text == string(KeySticky):
		return HashKey{KeySticky, DefaultSticky}, nil
	case source == string(KeySticky):
		err := checkStickyName(name)
		return HashKey{KeySticky, name}, err
	case source == string(KeyHeader):
		header, err := ParseHeaderName(name)
		return HashKey{KeyHeader, string(header)}, err
	case source == string(KeyCookie):
		err := checkCookieName(name)
		return HashKey{KeyCookie, name}, err
	}
	return HashKey{}, fmt.Errorf("%s is not a hash key: write sticky, header:NAME, cookie:NAME or ip", excerpt.Quoted(text))
}

func checkCookieName(name string) error {
	const punctuation = "!#%&'*+-.^_`|~" // RFC 6265 token, without '$'
	for _, c := range name {
		letter := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && !strings.ContainsRune(punctuation, c) {
			return fmt.Errorf("%s is not a cookie name: character %q is not allowed", excerpt.Quoted(name), c)
		}
	}
	if name == "" || len(name) > 128 {
		return fmt.Errorf("%s is not a cookie name: use 1 to 128 characters", excerpt.Quoted(name))
	}
	return nil
}

// checkStickyName allows fewer characters than checkCookieName does: the name is new,
// so nobody needs the others, and it is text of the nginx config.
func checkStickyName(name string) error {
	for _, c := range name {
		letter := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && !strings.ContainsRune("-_.", c) {
			return fmt.Errorf("%s is not a name for the sticky cookie: use letters, digits, '-', '_' and '.'", excerpt.Quoted(name))
		}
	}
	return checkCookieName(name)
}

// String is the key in the form that ParseHashKey reads.
func (k HashKey) String() string {
	switch k {
	case HashKey{Source: KeyIP}:
		return string(KeyIP)
	case HashKey{KeySticky, DefaultSticky}:
		return string(KeySticky)
	}
	return string(k.Source) + ":" + k.Name
}

// TLS has the settings for TLS connections to new. Files are absolute paths on the
// proxy's machine. An empty CAFile means the system's CA certificates, empty client
// files mean no client certificate, and an empty ServerName means new_host.
type TLS struct {
	Verify         bool
	CAFile         string
	ServerName     Host
	ClientCertFile string
	ClientKeyFile  string
}

// Keepalive limits the connections to a backend that stay open between requests.
type Keepalive struct {
	Connections int           // idle ones of each worker to each side
	Requests    int           // after so many requests a connection is closed
	Idle        time.Duration // after this time without a request a connection is closed
}

// Fallback defines when traffic automatically goes back to old, and for how long.
type Fallback struct {
	Enabled      bool
	MaxFailures  int           // number of failures within Window that trip the service
	Window       time.Duration // how long a failure counts
	RecoveryTime time.Duration // hold-off before the first attempt to recover
	FailureRatio float64       // 0 to 1; a trip also needs this ratio of failures to requests to new
	OnStatus     []int         // statuses of new that count as failures, sorted
}

// Cache keeps answers of both sides in the proxy.
type Cache struct {
	TTL     time.Duration // how long answers are kept that do not say how long; 0: not at all
	Cookies bool          // also for requests with cookies
}

// Compare says how the answers of both sides are compared.
type Compare struct {
	Continuous bool     // the agent asks both sides again for some of the requests that it sees
	Skip       []string // paths that are never asked, beside the usual ones; see compare.Skip
}

// HealthCheck is an active health check of new. With an empty Path it only connects
// and, for https, does the TLS handshake.
type HealthCheck struct {
	Path      string
	Interval  time.Duration
	Timeout   time.Duration
	Healthy   int // successes in a row that make it healthy
	Unhealthy int // failures in a row that make it unhealthy
	StatusMin int // lowest status that counts as success
	StatusMax int // highest status that counts as success
}

// Service is one application that migrates: all requests for (OldHost, PathPrefix),
// and their split between two backends. Durations are positive, and texts are from
// their alphabets. TLS has an effect only if NewBackend is https.
type Service struct {
	Name       Name
	OldHost    Host // may be a wildcard
	PathPrefix PathPrefix
	OldBackend Backend
	NewHost    Host // Host header of requests to new; also the SNI, unless TLS.ServerName is set
	NewBackend Backend
	Protocol   Protocol
	Mode       Mode
	// Namespaces are more namespaces than that of OldBackend where an Ingress may say by an
	// annotation that its backend is the same application.
	Namespaces []string
	// RewriteOrigin puts NewHost in the place of the client's host in the Origin and
	// Referer of requests to new, as in their Host.
	RewriteOrigin bool

	// Timeout is how long new may take for each attempt until its answer begins, and
	// how long it may say nothing while it receives the request or sends the answer.
	// Old has no such limit.
	Timeout        time.Duration
	ConnectTimeout time.Duration // for each attempt at either side to connect, TLS included
	Keepalive      Keepalive
	Tries          int   // maximum number of attempts at the chosen side for one request
	MaxBodyBytes   int64 // 0 is no limit
	Gzip           bool
	TLS            TLS

	Enabled     bool
	Strategy    Strategy
	Share       Share
	HashKey     HashKey
	Cohort      Name // "" for a cohort that only this service has
	HeaderRules []HeaderRule
	IPRules     []IPRule
	Ramp        *Ramp `json:",omitempty"` // nil: Share is in force at once

	Fallback    Fallback
	HealthCheck *HealthCheck // nil: only recovery checks new, by a connection
	Cache       *Cache       `json:",omitempty"` // nil: the proxy keeps nothing
	Compare     *Compare     `json:",omitempty"` // nil: the defaults of Compare
}

// SameStructure tells whether two services are equal except for share, enabled and ramp.
func (s *Service) SameStructure(other *Service) bool {
	return reflect.DeepEqual(s.structure(), other.structure())
}

// structure is what nginx needs, without the shares.
func (s *Service) structure() Service {
	fixed := *s
	fixed.Share, fixed.Enabled, fixed.Ramp = 0, false, nil
	return fixed
}

// Backends are both sides, old first.
func (s *Service) Backends() []Backend { return []Backend{s.OldBackend, s.NewBackend} }

// ServerName is the name that new's certificate must carry, and the SNI.
func (s *Service) ServerName() Host {
	if s.TLS.ServerName != "" {
		return s.TLS.ServerName
	}
	return s.NewHost
}

// EffectiveShare is new's share of the requests that match no rule. It is 0 for the
// strategies header and ip, and while the service is disabled.
func (s *Service) EffectiveShare() Share {
	if !s.Enabled || s.Strategy == StrategyHeader || s.Strategy == StrategyIP {
		return 0
	}
	return s.Share
}

// ShareAt is new's share of the requests that match no rule while the service's ramp
// has the position: never more than EffectiveShare. Without a ramp, and with one that
// only advises, the position limits nothing.
func (s *Service) ShareAt(position Share) Share {
	if s.Ramp == nil || s.Ramp.Advise {
		return s.EffectiveShare()
	}
	if s.WholeDice() { // the position is from a time when the ramp had other steps
		position -= position % 100
	}
	return min(s.EffectiveShare(), max(position, 0))
}

// RulesTo names the rules that send requests to the side, in the form
// "header_rules[0]" and "ip_rules[2]".
func (s *Service) RulesTo(side Side) []string {
	var rules []string
	for i, rule := range s.HeaderRules {
		if rule.Target == side {
			rules = append(rules, fmt.Sprintf("header_rules[%d]", i))
		}
	}
	for i, rule := range s.IPRules {
		if rule.Target == side {
			rules = append(rules, fmt.Sprintf("ip_rules[%d]", i))
		}
	}
	return rules
}

// Sticky tells whether the proxy itself binds users to a side, by a cookie with their
// bucket.
func (s *Service) Sticky() bool {
	return s.Strategy == StrategyUserHash && s.HashKey.Source == KeySticky
}

// WholeDice tells whether each request throws a dice that need only tell whole percents
// apart: nginx then computes the first digit of the bucket alone, and the second is 0.
func (s *Service) WholeDice() bool {
	return s.Strategy == StrategyWeight && s.Share.Whole() && s.Ramp.whole()
}

// Salt is hashed before the user's key, so that two services only move the same
// users if they have the same cohort.
func (s *Service) Salt() string {
	if s.Cohort != "" {
		return "cohort/" + string(s.Cohort)
	}
	return "service/" + string(s.Name)
}
