package migration_test

import (
	"testing"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

// riskyTable has one service with the given name and settings.
func riskyTable(t *testing.T, name string, enabled, fallback, verify string) *migration.Table {
	t.Helper()
	table, err := config.Load("risks.yaml", []byte(`services:
  - name: `+name+`
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    tls: {verify: `+verify+`}
    fallback: {enabled: `+fallback+`}
    migration: {enabled: `+enabled+`, strategy: weight, percentage: 5}
`))
	require.NoError(t, err)
	return table
}

func TestRisks(t *testing.T) {
	t.Parallel()
	const (
		fallback = "service shop: fallback is off, so traffic stays on new if new fails"
		verify   = "service shop: tls.verify is false, so anybody on the network path can pretend to be new"
	)
	safe := riskyTable(t, "shop", "true", "true", "true")
	noFallback := riskyTable(t, "shop", "true", "false", "true")
	cases := map[string]struct {
		table, before *migration.Table
		want          []string
	}{
		"none":                              {safe, nil, nil},
		"fallback off":                      {noFallback, nil, []string{fallback}},
		"fallback off, nothing goes to new": {riskyTable(t, "shop", "false", "false", "true"), nil, nil},
		"verify off, nothing goes to new":   {riskyTable(t, "shop", "false", "true", "false"), nil, []string{verify}},
		"both":                              {riskyTable(t, "shop", "true", "false", "false"), nil, []string{verify, fallback}},
		"not in the table before":           {noFallback, safe, []string{fallback}},
		"in the table before":               {noFallback, noFallback, nil},
		"a removed service": {riskyTable(t, "cart", "true", "true", "true"), safe,
			[]string{"no longer in the config, their Ingresses go back to old: shop"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.table.Risks(c.before))
		})
	}
}

// TestVolatileKeys: a key that changes at login moves users, so it is warned about.
func TestVolatileKeys(t *testing.T) {
	t.Parallel()
	for key, volatile := range map[string]bool{
		"cookie:session": true, "cookie:sessionid": true, "cookie:JSESSIONID": true, "cookie:PHPSESSID": true,
		"cookie:connect.sid": true, "cookie:laravel_session": true, "cookie:ASP.NET_SessionId": true, "cookie:_shop_session": true,
		"cookie:sid": true, "cookie:koa.sess": true, "cookie:XSRF-TOKEN": true, "cookie:access_token": true,
		"header:Authorization": true, "header:X-Request-ID": true, "header:Cookie": true,
		"cookie:user-id": false, "cookie:visitor": false, "cookie:president": false,
		"header:X-User-ID": false, "ip": false, "sticky": false, "sticky:session": false,
	} {
		table, err := config.Load("c.yaml", []byte(`
global: {trusted_proxies: [10.0.0.0/8]}
services:
  - name: shop
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, strategy: user_hash, hash_key: "`+key+`"}
`))
		require.NoError(t, err)
		risks := table.Risks(nil)
		if !volatile {
			require.Empty(t, risks, key)
			continue
		}
		require.Len(t, risks, 1, key)
		require.Contains(t, risks[0], "use hash_key sticky", key)
	}
}

// TestStickyNeedsNoAddress: a request without the cookie is decided by its dice.
func TestStickyNeedsNoAddress(t *testing.T) {
	t.Parallel()
	table, err := config.Load("c.yaml", []byte(`
services:
  - name: shop
    old_host: shop.example.com
    old_backend: 127.0.0.1:8081
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    migration: {enabled: true, strategy: user_hash, hash_key: sticky}
`))
	require.NoError(t, err)
	require.Empty(t, table.Risks(nil))
}

// TestDangerousTargets: a config can name these targets, and nobody means them.
func TestDangerousTargets(t *testing.T) {
	t.Parallel()
	risks := func(old, tls string) []string {
		table, err := config.Load("risks.yaml", []byte(`services:
  - name: shop
    old_host: shop.example.com
    old_backend: `+old+`
    new_host: shop.new.example.com
    new_backend: https://shop.new.example.com
    tls: {`+tls+`}
`))
		require.NoError(t, err)
		return table.Risks(nil)
	}
	for _, old := range []string{"http://169.254.169.254", "http://169.254.170.2", `"http://[fd00:ec2::254]:80"`, "http://metadata.google.internal", "http://100.100.100.200"} {
		require.Len(t, risks(old, ""), 1, old)
		require.Contains(t, risks(old, "")[0], "credentials")
	}
	for _, file := range []string{"/var/run/secrets/kubernetes.io/serviceaccount/token", "/run/secrets/kubernetes.io/x/../serviceaccount/namespace"} {
		require.Len(t, risks("http://old", "ca_file: "+file), 1, file)
	}
	require.Empty(t, risks("http://10.0.0.1", "ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt"))
}

// TestShareLostToRamp: a ramp begins at 0, so adding one lowers the share of a service.
func TestShareLostToRamp(t *testing.T) {
	t.Parallel()
	table := func(how string) *migration.Table {
		loaded, err := config.Load("risks.yaml", []byte("services:\n- {name: shop, old_host: a.example, old_backend: 'a.b:80', "+
			"new_host: n.example, new_backend: 'n.example:443', migration: {"+how+"}}\n"))
		require.NoError(t, err)
		return loaded
	}
	const by = "enabled: true, percentage: 25"
	ramped := table("enabled: true, percentage: 100, ramp: [5, 99]")
	require.Equal(t, []string{"service shop: it had 25 %, and its ramp begins at 0 %, so that part returns to old until the ramp has climbed; " +
		"migration-proxy ramp shop skip takes a step at once"}, ramped.Risks(table(by)))
	for name, c := range map[string]struct{ before, after *migration.Table }{
		"nothing was at new": {table("enabled: true, percentage: 0"), ramped},
		"it was off":         {table("enabled: false, percentage: 25"), ramped},
		"it had a ramp":      {ramped, table("enabled: true, percentage: 100, ramp: [1, 99]")},
		"only advice":        {table(by), table("enabled: true, percentage: 25, ramp: {steps: [5, 99], advise: true}")},
		"a new service":      {nil, ramped},
	} {
		require.Empty(t, c.after.Risks(c.before), name)
	}
}

// TestShareFreedOfRamp: without its ramp a service gets its whole percentage at once.
func TestShareFreedOfRamp(t *testing.T) {
	t.Parallel()
	table := func(how string) *migration.Table {
		loaded, err := config.Load("risks.yaml", []byte("services:\n- {name: shop, old_host: a.example, old_backend: 'a.b:80', "+
			"new_host: n.example, new_backend: 'n.example:443', migration: {percentage: 100, "+how+"}}\n"))
		require.NoError(t, err)
		return loaded
	}
	ramped, plain := table("enabled: true, ramp: [5, 99]"), table("enabled: true")
	advised := table("enabled: true, ramp: {steps: [5, 99], advise: true}")
	for _, after := range []*migration.Table{plain, advised} {
		require.Equal(t, []string{"service shop: nothing holds its share at the position of its ramp any more, so percentage 100 is in force at once; " +
			"where the ramp was lower, write its position as percentage first (migration-proxy ramp shop)"}, after.Risks(ramped))
	}
	require.Empty(t, table("enabled: false").Risks(ramped), "nothing goes to new")
	require.Empty(t, plain.Risks(advised), "it limited nothing")
	require.Empty(t, ramped.Risks(ramped))
}
