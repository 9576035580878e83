package explain_test

import (
	"bytes"
	"cmp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/internal/cli/explain"
	"github.com/migration-proxy/migration-proxy/migration"
)

const text = `global: {trusted_proxies: [192.168.0.0/16]}
services:
- name: shop
  old_host: shop.example.com
  old_backend: a:80
  new_host: b
  new_backend: b:80
  migration: {enabled: true, percentage: 20}
  canary: {ip_rules: [{cidr: 10.0.0.0/8, target: new_cluster}]}
- name: users
  old_host: users.example.com
  old_backend: a:80
  new_host: b
  new_backend: b:80
  migration: {enabled: true, strategy: user_hash, hash_key: sticky, percentage: 20}
- name: part
  old_host: parts.example.com
  path_prefix: /one
  old_backend: a:80
  new_host: b
  new_backend: b:80
`

func load(t *testing.T) *migration.Table {
	t.Helper()
	table, err := config.Load("c", []byte(text))
	require.NoError(t, err)
	return table
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		question explain.Question
		want     []string // lines
	}{
		{"open", explain.Question{Host: "shop.example.com"},
			[]string{"side     open: new for 20 % of such requests\n", "service  shop\n", "reason   weight: "}},
		{"rule by the client behind a trusted proxy", explain.Question{Host: "shop.example.com", IP: "192.168.0.1", ForwardedFor: "10.1.2.3"},
			[]string{"side     new\n", "reason   ip_rule[0]: ", "client   10.1.2.3\n"}},
		{"no service", explain.Question{Host: "other.example.com"}, []string{"side    none\n", "reason  unknown_host: "}},
		{"sticky cookie", explain.Question{Host: "users.example.com", Cookies: []string{"a=b", "migration-proxy=1999"}},
			[]string{"side     new\n", "reason   user_hash: cookie migration-proxy falls into bucket 1999, which is below 2000", "bucket   1999 of 0 to 9999\n"}},
		{"no sticky cookie", explain.Question{Host: "users.example.com", Cookies: []string{"migration-proxy=1999x"}},
			[]string{"side     open: new for 20 % of such requests", "reason   user_hash: user_hash: 20 % of requests without cookie migration-proxy go to new"}},
		{"loose match", explain.Question{Host: "parts.example.com", Path: "/ONExyz"}, []string{"service  part\n", "path     matched loosely: "}},
		{"direct", explain.Question{Host: "shop.example.com", Direct: true}, []string{"side     new\n", "reason   direct: "}},
		{"tripped", explain.Question{Host: "shop.example.com", Tripped: true}, []string{"side     old\n", "reason   tripped: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.question.Path = cmp.Or(c.question.Path, "/")
			request, err := explain.Parse(c.question)
			require.NoError(t, err)
			var out bytes.Buffer
			require.NoError(t, request.Decide(load(t)).Table(&out))
			for _, line := range c.want {
				require.Contains(t, out.String(), line)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	request, err := explain.Parse(explain.Question{Host: "shop.example.com", Path: "/", Headers: []string{"X-A=1", "X-A=2"}, Cookies: []string{"a=b", "c=d"}})
	require.NoError(t, err)
	require.Equal(t, []string{`note: X-A is repeated: read as "1, 2"; nginx before 1.23 reads the first alone`}, request.Notes(load(t)))
	var out bytes.Buffer
	require.NoError(t, request.Decide(load(t)).JSON(&out))
	require.Contains(t, out.String(), `"service": "shop"`)
	require.Contains(t, out.String(), `"open": true`)
	require.Contains(t, out.String(), `"share_percent": 20`)
	require.NotContains(t, out.String(), "bucket")
}

func TestDroppedHeader(t *testing.T) {
	t.Parallel()
	table, err := migration.NewTable(migration.Global{DropInvalidHeaders: true}, nil)
	require.NoError(t, err)
	request, err := explain.Parse(explain.Question{Host: "a", Headers: []string{"X_A=1", "X-B=1"}})
	require.NoError(t, err)
	require.Equal(t, []string{"note: X_a is dropped, as drop_invalid_headers says"}, request.Notes(table))
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		question explain.Question
		says     string
	}{
		{explain.Question{}, "--host is missing"},
		{explain.Question{Host: "a", Headers: []string{"X"}}, `--header "X": write NAME=VALUE`},
		{explain.Question{Host: "a", Headers: []string{"=X"}}, `--header "=X": write NAME=VALUE`},
		{explain.Question{Host: "a", Cookies: []string{"X"}}, `--cookie "X": write NAME=VALUE`},
		{explain.Question{Host: "a", IP: "10.1"}, `--ip "10.1": write an address`},
	} {
		_, err := explain.Parse(c.question)
		require.ErrorContains(t, err, c.says)
	}
}
