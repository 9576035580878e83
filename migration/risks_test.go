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
