package migration

import (
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

// Mode is how an Ingress hands traffic to the proxy.
type Mode string

// The modes: all traffic crosses the proxy, or only new's part does and the
// ingress controller splits by canary annotations.
const (
	ModeProxy  Mode = "proxy"
	ModeCanary Mode = "canary"
)

// Strategy decides requests that no rule speaks for.
type Strategy string

// The strategies: a dice per request, the hash of a key, or old always (only
// the rules send traffic to new).
const (
	StrategyWeight   Strategy = "weight"
	StrategyUserHash Strategy = "user_hash"
	StrategyHeader   Strategy = "header"
	StrategyIP       Strategy = "ip"
)

// KeySource is where a user's key comes from.
type KeySource string

// The key sources.
const (
	KeyHeader KeySource = "header"
	KeyCookie KeySource = "cookie"
	KeyIP     KeySource = "ip"
)

// HashKey names what user_hash hashes: a header, a cookie, or the client's
// address (then Name is empty).
type HashKey struct {
	Source KeySource
	Name   string
}

// ParseHashKey reads "header:NAME", "cookie:NAME" or "ip".
func ParseHashKey(text string) (HashKey, error) {
	source, name, _ := strings.Cut(text, ":")
	switch {
	case text == string(KeyIP):
		return HashKey{Source: KeyIP}, nil
	case source == string(KeyHeader):
		header, err := ParseHeaderName(name)
		return HashKey{KeyHeader, string(header)}, err
	case source == string(KeyCookie):
		err := checkCookieName(name)
		return HashKey{KeyCookie, name}, err
	}
	return HashKey{}, fmt.Errorf("%s is not a hash key: write header:NAME, cookie:NAME or ip", excerpt.Quoted(text))
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

// String is the key as the config writes it.
func (k HashKey) String() string {
	if k.Source == KeyIP {
		return string(KeyIP)
	}
	return string(k.Source) + ":" + k.Name
}

// TLS is how new is spoken to when its scheme is https. Files are absolute
// paths on the proxy's machine, or empty: system roots, no client
// certificate. ServerName empty means new_host.
type TLS struct {
	Verify         bool
	CAFile         string
	ServerName     Host
	ClientCertFile string
	ClientKeyFile  string
}

// Fallback is when and for how long traffic goes back to old by itself.
type Fallback struct {
	Enabled      bool
	MaxFailures  int           // failures in Window that trip
	Window       time.Duration // how long a failure counts
	RecoveryTime time.Duration // hold-off before the first try to recover
	FailureRatio float64       // 0..1; failures/requests to new must reach it too
	OnStatus     []int         // statuses of new that count as failures, sorted
}

// HealthCheck is an active probe of new. Path empty means: connect (and shake
// hands, with https) and no more.
type HealthCheck struct {
	Path      string
	Interval  time.Duration
	Timeout   time.Duration
	Healthy   int // successes in a row that make it healthy
	Unhealthy int // failures in a row that make it unhealthy
	StatusMin int // lowest status that counts as success
	StatusMax int // highest
}

// Service is one application on the move: everything that is asked for at
// (OldHost, PathPrefix) and how it is divided between two backends. Durations
// are positive, texts are from their alphabets, TLS counts only when
// NewBackend is https.
type Service struct {
	Name       Name
	OldHost    Host // may be a wildcard
	PathPrefix PathPrefix
	OldBackend Backend
	NewHost    Host // Host header and, unless TLS.ServerName is set, SNI towards new
	NewBackend Backend
	Mode       Mode

	Timeout      time.Duration // connect, and idle time while sending or reading, per try
	Tries        int           // on the chosen side for one request, in all
	MaxBodyBytes int64         // 0 is no limit
	Gzip         bool
	TLS          TLS

	Enabled     bool
	Strategy    Strategy
	Share       Share
	HashKey     HashKey
	Cohort      Name // "" is a cohort of its own
	HeaderRules []HeaderRule
	IPRules     []IPRule

	Fallback    Fallback
	HealthCheck *HealthCheck // nil: probe by connecting, on recovery only
}

// ServerName is the name that new's certificate must carry, and the SNI.
func (s *Service) ServerName() Host {
	if s.TLS.ServerName != "" {
		return s.TLS.ServerName
	}
	return s.NewHost
}

// EffectiveShare is what Share comes to: new's part of the requests that no
// rule speaks for. That is none with the strategies header and ip, and while
// the service is disabled.
func (s *Service) EffectiveShare() Share {
	if !s.Enabled || s.Strategy == StrategyHeader || s.Strategy == StrategyIP {
		return 0
	}
	return s.Share
}

// RulesTo names the rules that send requests to the side, as the config calls
// them: "header_rules[0]", "ip_rules[2]".
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

// Salt goes before the user's key into the hash, so that two services do not
// move the same users unless they share a cohort.
func (s *Service) Salt() string {
	if s.Cohort != "" {
		return "cohort/" + string(s.Cohort)
	}
	return "service/" + string(s.Name)
}
