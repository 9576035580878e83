package migration_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func routes(name migration.Name, host migration.Host, prefix migration.PathPrefix) migration.Service {
	return migration.Service{Name: name, OldHost: host, PathPrefix: prefix}
}

func newTable(t require.TestingT, services ...migration.Service) *migration.Table {
	table, err := migration.NewTable(migration.Global{}, services)
	require.NoError(t, err)
	return table
}

func TestRoute(t *testing.T) {
	t.Parallel()
	table := newTable(t,
		routes("root", "a.example.com", "/"), routes("api", "a.example.com", "/api"), routes("api-v1", "a.example.com", "/api/v1"),
		routes("wild", "*.example.com", "/"), routes("wilder", "*.com", "/"), routes("deep", "*.b.example.com", "/only"),
	)
	for _, c := range []struct {
		host, path string
		want       migration.Name
	}{
		{"a.example.com", "/", "root"}, {"a.example.com", "/apix", "root"}, {"a.example.com", "/api", "api"},
		{"a.example.com", "/api/v1/x", "api-v1"}, {"a.example.com", "/api/v10", "api"},
		{"x.example.com", "/", "wild"}, {"x.y.example.com", "/", "wild"}, {"example.com", "/", "wilder"},
		{"x.b.example.com", "/only", "deep"}, {"x.b.example.com", "/", ""},
		{"com", "/", ""}, {"*.example.com", "/", "wild"}, {"", "/", ""}, {"example.org", "/", ""},
	} {
		service := table.Route(c.host, c.path)
		if c.want == "" {
			require.Nil(t, service, c)
			continue
		}
		require.NotNil(t, service, c)
		require.Equal(t, c.want, service.Name, c)
	}
}

// TestRouteLoosely: a path that no prefix covers goes where ingress-nginx sends
// it when regular expressions are in force for the host.
func TestRouteLoosely(t *testing.T) {
	t.Parallel()
	table := newTable(t,
		routes("one", "a.example.com", "/one"), routes("upper", "a.example.com", "/ONE"), routes("longer", "a.example.com", "/one-more"),
		routes("k", "a.example.com", "/k"), routes("root", "b.example.com", "/"), routes("below", "b.example.com", "/one"),
	)
	for target, want := range map[string]migration.Name{
		"/one/x": "one", "/ONE/x": "upper", "/oneXYZ": "one", "/One/x": "one", "/ONEx": "one",
		"/ONE-MORE": "longer", "/one-morex": "longer", "/one-mor": "one", "/K": "k", "/%6Be": "k", "/o": "", "/x/one": "", "/%E2%84%AA": "",
	} {
		decision := table.Decide(migration.Request{Host: "a.example.com", Target: target})
		if want == "" {
			require.Equal(t, migration.ReasonUnknownPath, decision.Reason.Code, target)
			continue
		}
		require.NotNil(t, decision.Service, target)
		require.Equal(t, want, decision.Service.Name, target)
		path, _ := migration.NormalizePath(target)
		require.Equal(t, table.Covering("a.example.com", path) == nil, decision.Loose, target)
	}
	require.Equal(t, migration.Name("root"), table.Route("b.example.com", "/oneXYZ").Name, "path_prefix / covers every path")
}

func TestDecideWithoutService(t *testing.T) {
	t.Parallel()
	table := newTable(t, routes("api", "a.example.com", "/api"))
	for code, request := range map[migration.Code]migration.Request{
		migration.ReasonBadPath:     {Host: "a.example.com", Target: "/%"},
		migration.ReasonUnknownHost: {Host: "b.example.com", Target: "/api"},
		migration.ReasonUnknownPath: {Host: "A.example.com.:80", Target: "/"},
	} {
		decision := table.Decide(request)
		require.Equal(t, code, decision.Reason.Code)
		require.Nil(t, decision.Service)
		require.Empty(t, decision.Side)
	}
}

func TestTableRefusesDuplicates(t *testing.T) {
	t.Parallel()
	_, err := migration.NewTable(migration.Global{}, []migration.Service{routes("a", "a", "/"), routes("a", "b", "/")})
	require.ErrorContains(t, err, `two services are named "a"`)
	_, err = migration.NewTable(migration.Global{}, []migration.Service{routes("a", "a", "/"), routes("b", "a", "/")})
	require.ErrorContains(t, err, `services "a" and "b" both have a/`)
}

func TestDigestDependsOnContentOnly(t *testing.T) {
	t.Parallel()
	services := []migration.Service{routes("a", "a", "/"), routes("b", "b", "/"), routes("c", "c", "/")}
	want := newTable(t, routes("a", "a", "/"), routes("b", "b", "/"), routes("c", "c", "/")).Digest()
	rapid.Check(t, func(t *rapid.T) {
		shuffled := rapid.Permutation(services).Draw(t, "order")
		require.Equal(t, want, newTable(t, shuffled...).Digest())
		shuffled[0].Share++
		require.NotEqual(t, want, newTable(t, shuffled...).Digest())
	})
}

func TestOfHost(t *testing.T) {
	t.Parallel()
	table := newTable(t,
		routes("root", "a.example.com", "/"), routes("api", "a.example.com", "/api"), routes("wild", "*.example.com", "/"),
	)
	for host, want := range map[migration.Host][]migration.Name{
		"a.example.com": {"api", "root"}, "*.example.com": {"wild"}, "b.example.com": nil, "": nil,
	} {
		var names []migration.Name
		for _, service := range table.OfHost(host) {
			names = append(names, service.Name)
		}
		require.Equal(t, want, names, host)
	}
}

func TestServiceByName(t *testing.T) {
	t.Parallel()
	table := newTable(t, routes("b", "b", "/"), routes("a", "a", "/"))
	require.Equal(t, migration.Host("b"), table.Service("b").OldHost)
	require.Nil(t, table.Service("c"))
}

func TestWith(t *testing.T) {
	t.Parallel()
	service := routes("a", "a", "/")
	before := newTable(t, service)
	service.Share, service.Enabled = 1250, true
	want := newTable(t, service)
	require.Equal(t, want.Digest(), before.WithShare("a", 1250).WithEnabled("a", true).Digest())
	require.False(t, before.Service("a").Enabled, "a table does not change")
	require.Nil(t, before.WithShare("b", 1))
	require.Nil(t, before.WithEnabled("b", true))
}

// TestWithRemovedServices checks that old still answers for a removed service.
func TestWithRemovedServices(t *testing.T) {
	t.Parallel()
	on := func(s migration.Service) migration.Service {
		s.Enabled, s.Share = true, 1250
		return s
	}
	before := newTable(t, on(routes("stays", "a", "/")), on(routes("leaves", "b", "/x")), on(routes("renamed", "c", "/")))
	after := newTable(t, on(routes("stays", "a", "/")), on(routes("another", "c", "/")))
	kept := after.WithRemovedServices(before)
	require.Equal(t, after.Digest(), kept.Digest())
	require.Len(t, kept.Services(), 3)
	require.False(t, kept.Service("leaves").Enabled)
	require.True(t, kept.Service("stays").Enabled)
	require.Equal(t, migration.Name("leaves"), kept.Route("b", "/x/y").Name)
	require.Equal(t, migration.Name("another"), kept.Route("c", "/").Name, "another service has its route now")
	require.True(t, before.Service("leaves").Enabled, "a table does not change")

	require.Equal(t, kept.Services(), after.WithRemovedServices(kept).Services(), "services that were removed earlier stay too")
	require.Same(t, after, after.WithRemovedServices(after))
	require.Same(t, after, after.WithRemovedServices(nil))
}

func TestTakesPeerForClient(t *testing.T) {
	t.Parallel()
	ruled := migration.Service{Strategy: migration.StrategyWeight, IPRules: []migration.IPRule{{Network: netip.MustParsePrefix("10.0.0.0/8")}}}
	hashed := migration.Service{Strategy: migration.StrategyUserHash}
	dice := migration.Service{Strategy: migration.StrategyWeight}
	for _, trusted := range [][]netip.Prefix{nil, {netip.MustParsePrefix("10.0.0.0/8")}} {
		table, err := migration.NewTable(migration.Global{TrustedProxies: trusted}, nil)
		require.NoError(t, err)
		require.Equal(t, trusted == nil, table.TakesPeerForClient(&ruled))
		require.Equal(t, trusted == nil, table.TakesPeerForClient(&hashed))
		require.False(t, table.TakesPeerForClient(&dice))
	}
}

// TestNotifyNeedsNoReload: who is told is nothing of nginx's, but part of the config.
func TestNotifyNeedsNoReload(t *testing.T) {
	t.Parallel()
	plain, err := migration.NewTable(migration.Global{}, nil)
	require.NoError(t, err)
	told, err := migration.NewTable(migration.Global{Notify: []migration.NotifyTarget{{URLFile: "/slack", Format: migration.NotifySlack}}}, nil)
	require.NoError(t, err)
	require.True(t, plain.SameStructure(told))
	require.NotEqual(t, plain.Digest(), told.Digest())
}

// TestSubset keeps whole hosts, and asks about each service once at most, also when one host
// has them all.
func TestSubset(t *testing.T) {
	t.Parallel()
	table := newTable(t, routes("a", "a.example.com", "/"), routes("b", "b.example.com", "/"), routes("b-api", "b.example.com", "/api"))
	part, err := table.Subset(func(s *migration.Service) bool { return s.Name == "b-api" })
	require.NoError(t, err)
	require.Len(t, part.Services(), 2)
	require.NotNil(t, part.Service("b"))
	require.Len(t, table.Services(), 3, "the table stays")

	const paths = 2400
	var services []migration.Service
	for i := range paths {
		services = append(services, routes(migration.Name(fmt.Sprint("s", i)), "a.example.com", migration.PathPrefix(fmt.Sprint("/", i))))
	}
	asked := 0
	part, err = newTable(t, services...).Subset(func(*migration.Service) bool { asked++; return false })
	require.NoError(t, err)
	require.Empty(t, part.Services())
	require.LessOrEqual(t, asked, paths)
}
