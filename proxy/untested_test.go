package proxy

import (
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// TestUntested: nginx -t reads what is not in force yet, with all services of a host.
func TestUntested(t *testing.T) {
	t.Parallel()
	one := func(name, host, path string, changes ...func(*migration.Service)) migration.Service {
		s := service(t, name, full, name+"-old.test:80", name+"-new.test:80")
		s.OldHost, s.PathPrefix = migration.Host(host), migration.PathPrefix(path)
		for _, change := range changes {
			change(&s)
		}
		return s
	}
	slower := func(s *migration.Service) { s.Timeout = time.Minute }
	moved := func(s *migration.Service) { s.Share = 0 }
	of := func(services ...migration.Service) *generation {
		return &generation{version: version{table: table(t, services...)}}
	}
	at := func(backend migration.Backend, address string) nginxgen.Endpoints {
		return nginxgen.Endpoints{backend: {netip.MustParseAddrPort(address)}}
	}
	same := []migration.Service{one("a", "a.test", "/"), one("b", "b.test", "/"), one("b-api", "b.test", "/api"), one("c", "c.test", "/")}
	served := of(same...)
	dropping, err := migration.NewTable(migration.Global{DropInvalidHeaders: true}, same)
	require.NoError(t, err)
	frozen, err := migration.NewTable(migration.Global{Freeze: []migration.Freeze{{}}}, same)
	require.NoError(t, err)
	cases := map[string]struct {
		next *generation
		want string
	}{
		"a setting":            {of(one("a", "a.test", "/", slower), same[1], same[2], same[3]), "a"},
		"a share":              {of(one("a", "a.test", "/", moved), same[1], same[2], same[3]), ""},
		"one path of a host":   {of(same[0], same[1], one("b-api", "b.test", "/api", slower), same[3]), "b b-api"},
		"a new service":        {of(same[0], same[1], same[2], same[3], one("d", "d.test", "/")), "d"},
		"a service that goes":  {of(same[0], same[1], same[2]), ""},
		"an address":           {&generation{version: version{table: table(t, same...)}, endpoints: at(same[3].NewBackend, "192.0.2.7:80")}, "c"},
		"a global setting":     {&generation{version: version{table: dropping}}, "a b b-api c"},
		"what no nginx reads":  {&generation{version: version{table: frozen}}, ""},
		"copies of CA files":   {&generation{version: version{table: table(t, same...)}, files: nginxgen.Files{Trusted: map[string]string{"/ca": "/copy"}}}, "a b b-api c"},
		"the first generation": {nil, "a b b-api c"},
	}
	params := newRig(t).params
	for name, c := range cases {
		before, next := served, c.next
		if next == nil {
			before, next = nil, &generation{version: served.version}
		}
		next.config, err = nginxgen.Generate(next.table, next.endpoints, params)
		require.NoError(t, err, name)
		config, err := before.untested(next, params)
		require.NoError(t, err, name)
		require.Equal(t, c.want, strings.Join(servicesIn(config), " "), name)
	}
}

var setService = regexp.MustCompile(`(?m)^ *set \$mp_service ([\w-]+);`)

// servicesIn lists the services that a config has.
func servicesIn(config nginxgen.Config) []string {
	var names []string
	for _, match := range setService.FindAllSubmatch(config.Text, -1) {
		names = append(names, string(match[1]))
	}
	return slices.Compact(names)
}

// TestAddedServiceThatNginxRefuses: it is tested without the others, and refused before
// anything changes.
func TestAddedServiceThatNginxRefuses(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run()
	r.apply(r.service("api", full))
	digest := r.dir.current()
	r.ApplyTable(table(t, r.service("api", full), r.invalidService("bad")), "test")
	now := r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(t, "test", now.Config.Rejected.Stage)
	require.Equal(t, digest, r.dir.current())
	require.Equal(t, "new", r.get("api"))
}

// TestReloadThatNginxRefusesIsPutBack: a fault that only the whole config has. Here the copy
// of a certificate, which a service in force needs, is gone. nginx serves what it has in
// memory, and the next edit after the copy is back comes in force.
func TestReloadThatNginxRefusesIsPutBack(t *testing.T) {
	t.Parallel()
	r := newCertRig(t, func(o *Options) { o.ReadbackTimeout = 500 * time.Millisecond })
	r.run()
	r.apply(r.service)
	r.waitForClient("one")
	digest := r.dir.current()
	copied, _ := r.KeyPair(r.cert, r.key)
	require.NotEqual(t, r.cert, copied)
	well, err := os.ReadFile(copied)
	require.NoError(t, err)
	require.NoError(t, os.Remove(copied))

	r.ApplyTable(table(t, r.service, r.rig.service("more", full)), "test")
	now := r.waitFor("rejected", func(s status.Status) bool { return s.Config.Rejected != nil })
	require.Equal(t, "apply", now.Config.Rejected.Stage)
	require.Contains(t, strings.Join(now.Config.Rejected.Problems, "\n"), "cannot load certificate")
	require.Contains(t, strings.Join(now.Config.Rejected.Problems, "\n"), "nginx still serves config "+digest)
	r.waitForClient("one")
	require.NoError(t, os.WriteFile(copied, well, 0o600))
	r.apply(r.service, r.rig.service("more", full))
	require.Equal(t, "new", r.get("more"))
}
