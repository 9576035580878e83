package migration_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var (
	sides  = rapid.SampledFrom([]migration.Side{migration.Old, migration.New})
	shares = rapid.Custom(func(t *rapid.T) migration.Share {
		return migration.Share(rapid.IntRange(0, int(migration.FullShare)).Draw(t, "share"))
	})
	client = netip.MustParseAddr("10.1.2.3")
)

// outcome is the expected part of a decision.
type outcome struct {
	code migration.Code
	rule int
	side migration.Side
}

// TestOrderOfPrecedence draws for each step of the chain whether it applies, builds a
// service and a request from that, and expects the first step that applies.
func TestOrderOfPrecedence(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		service := migration.Service{Name: "api", Enabled: rapid.Bool().Draw(t, "enabled")}
		request := migration.Request{
			Client: client, Header: map[string]string{},
			Tripped: rapid.Bool().Draw(t, "tripped"), Direct: rapid.Bool().Draw(t, "direct"),
		}
		applicable := []outcome{}
		if !service.Enabled {
			applicable = append(applicable, outcome{migration.ReasonDisabled, -1, migration.Old})
		}
		if request.Tripped {
			applicable = append(applicable, outcome{migration.ReasonTripped, -1, migration.Old})
		}
		if request.Direct {
			applicable = append(applicable, outcome{migration.ReasonDirect, -1, migration.New})
		}
		applicable = append(applicable, drawHeaderRules(t, &service, request)...)
		applicable = append(applicable, drawIPRules(t, &service)...)
		applicable = append(applicable, drawStrategy(t, &service))

		decision := service.Decide(request)
		got := outcome{decision.Reason.Code, decision.Reason.Rule, decision.Side}
		require.Equal(t, applicable[0], got)
		require.Same(t, &service, decision.Service)
		require.NotEmpty(t, decision.Reason.Text)
	})
}

// drawHeaderRules gives rule i the header X-i, which the request has or not.
func drawHeaderRules(t *rapid.T, service *migration.Service, request migration.Request) []outcome {
	var applicable []outcome
	for i := range rapid.IntRange(0, 4).Draw(t, "header rules") {
		header := migration.HeaderName(fmt.Sprintf("X-%d", i))
		target := sides.Draw(t, "target")
		service.HeaderRules = append(service.HeaderRules, migration.HeaderRule{Header: header, Value: "yes", Target: target})
		value := rapid.SampledFrom([]string{"", "yes", "Yes", "yes, no"}).Draw(t, "value")
		request.Header[header.Key()] = value
		if value == "yes" {
			applicable = append(applicable, outcome{migration.ReasonHeaderRule, i, target})
		}
	}
	return applicable
}

// drawIPRules draws networks with and without the client, in any order. The longest
// network that contains the client decides.
func drawIPRules(t *rapid.T, service *migration.Service) []outcome {
	networks := []string{"0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "10.1.2.4/32", "::/0"}
	drawn := rapid.SliceOfDistinct(rapid.SampledFrom(networks), rapid.ID[string]).Draw(t, "networks")
	most, found := -1, -1
	for i, text := range drawn {
		network := netip.MustParsePrefix(text)
		service.IPRules = append(service.IPRules, migration.IPRule{Network: network, Target: sides.Draw(t, "target")})
		if at := slices.Index(networks[:5], text); at > most {
			most, found = at, i
		}
	}
	if found < 0 {
		return nil
	}
	return []outcome{{migration.ReasonIPRule, found, service.IPRules[found].Target}}
}

// drawStrategy draws a strategy with 0 or 100 %, so that the bucket does not matter.
func drawStrategy(t *rapid.T, service *migration.Service) outcome {
	side := sides.Draw(t, "all to")
	if side == migration.New {
		service.Share = migration.FullShare
	}
	service.Strategy = rapid.SampledFrom([]migration.Strategy{
		migration.StrategyWeight, migration.StrategyUserHash, migration.StrategyHeader, migration.StrategyIP,
	}).Draw(t, "strategy")
	switch service.Strategy {
	case migration.StrategyWeight:
		return outcome{migration.ReasonWeight, -1, side}
	case migration.StrategyUserHash:
		service.HashKey = migration.HashKey{Source: migration.KeyIP}
		return outcome{migration.ReasonUserHash, -1, side}
	}
	return outcome{migration.ReasonStrategy, -1, migration.Old}
}

func byUser(name migration.Name, cohort migration.Name, share migration.Share) *migration.Service {
	return &migration.Service{
		Name: name, Cohort: cohort, Enabled: true, Share: share, Strategy: migration.StrategyUserHash,
		HashKey: migration.HashKey{Source: migration.KeyHeader, Name: "X-User-ID"},
	}
}

func user(id string) migration.Request {
	return migration.Request{Header: map[string]string{"x_user_id": id}}
}

func TestRaisingTheShareOnlyAddsToNew(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		low, high := shares.Draw(t, "a"), shares.Draw(t, "b")
		low, high = min(low, high), max(low, high)
		request := user(rapid.StringN(1, -1, -1).Draw(t, "id"))
		if byUser("api", "", low).Decide(request).Side == migration.New {
			require.Equal(t, migration.New, byUser("api", "", high).Decide(request).Side)
		}
	})
}

// TestEachStepMovesItsUsers: a user is on old if the share is equal to the user's
// bucket, and on new if the share is one step larger.
func TestEachStepMovesItsUsers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		request := user(rapid.StringN(1, -1, -1).Draw(t, "id"))
		bucket := byUser("api", "", 0).Decide(request).Bucket
		require.Equal(t, migration.Old, byUser("api", "", migration.Share(bucket)).Decide(request).Side)
		require.Equal(t, migration.New, byUser("api", "", migration.Share(bucket)+1).Decide(request).Side)
	})
}

func TestCohortMovesTheSameUsers(t *testing.T) {
	t.Parallel()
	apart := 0
	for i := range 1000 {
		request := user(fmt.Sprint(i))
		together := byUser("a", "shop", 5000).Decide(request)
		require.Equal(t, together.Bucket, byUser("b", "shop", 5000).Decide(request).Bucket)
		if byUser("a", "", 5000).Decide(request).Side != byUser("b", "", 5000).Decide(request).Side {
			apart++
		}
	}
	require.InDelta(t, 500, apart, 80, "without a cohort services move users independently")
}

func TestCohortIsNotAServiceOfThatName(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, byUser("shop", "", 1).Salt(), byUser("api", "shop", 1).Salt())
}

// TestRequestsWithoutKey: 1 % of the requests without a key go to new, by their
// address or, without an address, by their dice. 10000 requests have a standard
// deviation of 10 around 100.
func TestRequestsWithoutKey(t *testing.T) {
	t.Parallel()
	for name, anonymous := range map[string]func(i int) migration.Request{
		"address": func(i int) migration.Request {
			return migration.Request{Client: netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})}
		},
		"dice": func(i int) migration.Request { return migration.Request{Dice: fmt.Sprintf("%032x", i)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service, onNew := byUser("api", "", 100), 0
			for i := range 10000 {
				if service.Decide(anonymous(i)).Side == migration.New {
					onNew++
				}
			}
			require.InDelta(t, 100, onNew, 50)
		})
	}
}

func TestSharesHold(t *testing.T) {
	t.Parallel()
	service := byUser("api", "", 2000)
	service.Strategy = migration.StrategyWeight
	onNew := 0
	for i := range 20000 {
		if service.Decide(migration.Request{Dice: fmt.Sprintf("%032x", i)}).Side == migration.New {
			onNew++
		}
	}
	require.InDelta(t, 4000, onNew, 300)
}

func TestOpenWithoutDice(t *testing.T) {
	t.Parallel()
	for share, open := range map[migration.Share]bool{0: false, 1: true, 9999: true, migration.FullShare: false} {
		service := byUser("api", "", share)
		service.Strategy = migration.StrategyWeight
		require.Equal(t, open, service.Decide(migration.Request{}).Open, share)
	}
}

// TestSideWithoutDice: it is the side of most requests, old if both get half.
func TestSideWithoutDice(t *testing.T) {
	t.Parallel()
	for share, side := range map[migration.Share]migration.Side{0: migration.Old, 5000: migration.Old, 5001: migration.New, 10_000: migration.New} {
		service := byUser("api", "", share)
		service.Strategy = migration.StrategyWeight
		require.Equal(t, side, service.Decide(migration.Request{}).Side, share)
	}
}

func TestKeySources(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, header, value, same string }{
		"header":           {"header:X-User-ID", "x_user_id", "7", "7"},
		"cookie":           {"cookie:user-id", "cookie", "a=1; user-id=7; b=2", "7"},
		"first cookie":     {"cookie:u", "cookie", "u=7; u=8", "7"},
		"not a suffix":     {"cookie:u", "cookie", "xu=8;u=7", "7"},
		"cookie with '='":  {"cookie:u", "cookie", "u=7=7", "7=7"},
		"value with space": {"cookie:u", "cookie", "a=1;  u=7 7", "7 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := byUser("api", "", 1)
			key, err := migration.ParseHashKey(c.key)
			require.NoError(t, err)
			service.HashKey = key
			got := service.Decide(migration.Request{Header: map[string]string{c.header: c.value}, Client: client})
			require.Equal(t, migration.BucketOf("service/api:"+c.same), got.Bucket)
		})
	}
}

// TestStickyCookie: the cookie is the bucket, and a value that is not four digits is as
// no cookie: then the dice decides.
func TestStickyCookie(t *testing.T) {
	t.Parallel()
	const dice = "0123456789abcdef0123456789abcdef"
	thrown := migration.BucketOf(dice)
	for cookies, want := range map[string]migration.Bucket{
		"":                       thrown,
		"mp=0000":                0,
		"mp=0007":                7,
		"mp=9999":                9999,
		"a=b; mp=1234; c=d":      1234,
		"mp=1234; mp=0001":       1234,
		"mp=x; mp=0001":          1,
		"mp=; \tmp=0001":         1,
		"xmp=0001; y=mp=0001":    thrown,
		"mp=1; mp=123; mp=12345": thrown,
		"mp=-123; mp=+123":       thrown,
		"mp=0x10; mp=1e10":       thrown,
		`mp="0001"`:              thrown,
		"mp=0001 ; mp= 0001":     thrown,
		"MP=0001":                thrown,
	} {
		service := byUser("api", "", 2000)
		service.HashKey = migration.HashKey{Source: migration.KeySticky, Name: "mp"}
		got := service.Decide(migration.Request{Header: map[string]string{"cookie": cookies}, Dice: dice, Client: client})
		require.Equal(t, want, got.Bucket, cookies)
		require.Equal(t, migration.ReasonUserHash, got.Reason.Code)
		require.Equal(t, want < 2000, got.Side == migration.New, cookies)
		require.False(t, got.Open)
	}
	service := byUser("api", "", 2000)
	service.HashKey = migration.HashKey{Source: migration.KeySticky, Name: "m%d"}
	got := service.Decide(migration.Request{Client: client})
	require.True(t, got.Open)
	require.Equal(t, "user_hash: 20 % of requests without cookie m%d go to new, and the answer sets it", got.Reason.Text)
}

func TestHeaderRuleNeedsAValue(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "^$", ".*", "x?"} {
		pattern, err := migration.ParsePattern(text)
		require.NoError(t, err)
		rule := migration.HeaderRule{Header: "X-A", Pattern: &pattern, Target: migration.New}
		require.False(t, rule.Matches(""), text)
		require.True(t, migration.HeaderRule{Pattern: &pattern}.Matches("x") || text == "^$")
	}
	require.False(t, migration.HeaderRule{}.Matches(""))
}

func TestIPRuleReadsMappedAddressAsIPv4(t *testing.T) {
	t.Parallel()
	service := byUser("api", "", 0)
	service.IPRules = []migration.IPRule{{Network: netip.MustParsePrefix("10.0.0.0/8"), Target: migration.New}}
	decision := service.Decide(migration.Request{Client: netip.MustParseAddr("::ffff:10.0.0.1")})
	require.Equal(t, migration.ReasonIPRule, decision.Reason.Code)
}

// TestAddressKeyIsItsBytes: nginx hashes $binary_remote_addr, which has 4 or 16 bytes.
func TestAddressKeyIsItsBytes(t *testing.T) {
	t.Parallel()
	service := byUser("api", "", 1)
	service.HashKey = migration.HashKey{Source: migration.KeyIP}
	for text, key := range map[string]string{
		"10.1.2.3": "\x0a\x01\x02\x03",
		"2001::1":  "\x20\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01",
	} {
		got := service.Decide(migration.Request{Client: netip.MustParseAddr(text)})
		require.Equal(t, migration.BucketOf("service/api:"+key), got.Bucket, text)
	}
}

// TestHostIsAHeaderToo: nginx gives rules and hash keys the Host header, so
// Decide does not need it twice.
func TestHostIsAHeaderToo(t *testing.T) {
	t.Parallel()
	s := byUser("api", "", 0)
	s.HashKey.Name = "Host"
	s.HeaderRules = []migration.HeaderRule{{Header: "host", Value: "Beta.example.com:8000", Target: migration.New}}
	require.Equal(t, migration.New, s.Decide(migration.Request{Host: "Beta.example.com:8000"}).Side)
	require.Equal(t, migration.Old, s.Decide(migration.Request{Host: "beta.example.com"}).Side)
	require.Equal(t, migration.BucketOf(s.Salt()+":beta.example.com"), s.Decide(migration.Request{Host: "beta.example.com"}).Bucket)
	written := migration.Request{Host: "a.example.com", Header: map[string]string{"host": "Beta.example.com:8000"}}
	require.Equal(t, migration.New, s.Decide(written).Side)
}
