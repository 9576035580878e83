package config_test

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/stretchr/testify/require"
)

func loadExample(t *testing.T, name string) *migration.Table {
	t.Helper()
	table, err := config.Load(name, readFile(t, "../examples/"+name))
	require.NoError(t, err)
	return table
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	table := loadExample(t, "minimal.yaml")
	require.Equal(t, migration.Global{}, table.Global())
	require.Equal(t, migration.Service{
		Name: "api", OldHost: "api.example.com", PathPrefix: "/", NewHost: "api.new.example.com",
		OldBackend: migration.Backend{Scheme: migration.HTTP, Host: "api.team.svc.cluster.local", Port: 8080},
		NewBackend: migration.Backend{Scheme: migration.HTTPS, Host: "api.new.example.com", Port: 443},
		Protocol:   migration.ProtocolHTTP,
		Mode:       migration.ModeProxy, RewriteOrigin: true, Timeout: 60 * time.Second, Tries: 3,
		ConnectTimeout: 5 * time.Second, Keepalive: migration.Keepalive{Connections: 32, Requests: 1000, Idle: 1500 * time.Millisecond},
		TLS:      migration.TLS{Verify: true},
		Strategy: migration.StrategyWeight, HashKey: migration.HashKey{Source: migration.KeyHeader, Name: "X-User-ID"},
		Fallback: migration.Fallback{
			Enabled: true, MaxFailures: 5, Window: time.Minute, RecoveryTime: 5 * time.Minute, OnStatus: []int{502, 503, 504},
		},
	}, *table.Service("api"))
}

func TestEveryGlobalValueIsRead(t *testing.T) {
	t.Parallel()
	table := loadExample(t, "all.yaml")
	require.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, table.Global().TrustedProxies)
	require.Equal(t, int64(256<<20), table.Global().CacheBytes)
	require.Equal(t, []migration.Freeze{{
		From:  time.Date(2026, 12, 20, 0, 0, 0, 0, time.UTC),
		Until: time.Date(2027, 1, 4, 0, 0, 0, 0, time.UTC),
	}}, table.Global().Freeze)
	require.Equal(t, []migration.NotifyTarget{{
		URLFile: "/etc/migration-proxy/notify/slack", Format: migration.NotifySlack,
		On: []string{"fell_back", "paused", "ramp_returned"}, Services: []migration.Name{"shop"},
	}}, table.Global().Notify)
}

func TestEveryValueIsRead(t *testing.T) {
	t.Parallel()
	table := loadExample(t, "all.yaml")
	beta, err := migration.ParsePattern("^beta-[0-9]+$")
	require.NoError(t, err)
	berlin, err := migration.ParseZone("Europe/Berlin")
	require.NoError(t, err)
	require.Equal(t, migration.Service{
		Name: "shop", OldHost: "shop.example.com", PathPrefix: "/", NewHost: "shop.new.example.com",
		OldBackend: migration.Backend{Scheme: migration.HTTP, Host: "shop.team.svc.cluster.local", Port: 8080},
		NewBackend: migration.Backend{Scheme: migration.HTTPS, Host: "shop.new.example.com", Port: 8443},
		Protocol:   migration.ProtocolHTTP,
		Mode:       migration.ModeProxy, Namespaces: []string{"gateway"}, Timeout: 10 * time.Second, Tries: 3, MaxBodyBytes: 10 << 20, Gzip: true,
		ConnectTimeout: 2 * time.Second, Keepalive: migration.Keepalive{Connections: 8, Requests: 100, Idle: 4 * time.Second},
		TLS: migration.TLS{
			Verify: true, CAFile: "/etc/migration-proxy/ca.pem",
			ClientCertFile: "/etc/migration-proxy/client.pem", ClientKeyFile: "/etc/migration-proxy/client.key",
		},
		Enabled: true, Strategy: migration.StrategyUserHash, Share: 1250,
		HashKey: migration.HashKey{Source: migration.KeySticky, Name: "shop-side"}, Cohort: "storefront",
		HeaderRules: []migration.HeaderRule{
			{Header: "X-Migration-Target", Value: "old", Target: migration.Old},
			{Header: "X-Client", Pattern: &beta, Target: migration.New},
		},
		IPRules: []migration.IPRule{
			{Network: netip.MustParsePrefix("10.0.0.0/8"), Target: migration.New},
			{Network: netip.MustParsePrefix("2001:db8::7/128"), Target: migration.Old},
		},
		Ramp: &migration.Ramp{
			Steps: []migration.RampStep{
				{To: 100, Hold: time.Hour}, {To: 500, Hold: time.Hour}, {To: 1000, Hold: 2 * time.Hour},
				{To: 5000, Hold: time.Hour}, {To: 9900, Hold: time.Hour, Ask: true},
			},
			Judge: migration.RampJudge{
				Failures: migration.OddsLimits{Tolerate: 1.5, Exclude: 3}, Slow: migration.OddsLimits{Tolerate: 2, Exclude: 4},
				SlowAllow: 30 * time.Millisecond, MaxExtra: 0.005, MinRequests: 600,
			},
			NoData:     24 * time.Hour,
			Only:       &migration.Window{Days: 0b0111110, From: 9 * 60, To: 16 * 60, Zone: berlin},
			NotAheadOf: []migration.Name{"greeter"},
			Checks:     []migration.RampCheck{{Name: "replica caught up", URL: "http://dbcheck.ops/lag", Every: time.Minute}},
			Parity:     9900, Back: migration.RampBack{By: 2000, Every: 10 * time.Second},
		},
		Fallback: migration.Fallback{
			Enabled: true, MaxFailures: 5, Window: time.Minute, RecoveryTime: 5 * time.Minute,
			FailureRatio: 0.1, OnStatus: []int{502, 503, 504},
		},
		Compare: &migration.Compare{Continuous: true, Skip: []string{"/cart/*", "*download=*"}}, Cache: &migration.Cache{TTL: 10 * time.Second},
		HealthCheck: &migration.HealthCheck{
			Path: "/healthz", Interval: 5 * time.Second, Timeout: 2 * time.Second,
			Healthy: 2, Unhealthy: 3, StatusMin: 200, StatusMax: 399,
		},
	}, *table.Service("shop"))
	require.Equal(t, migration.ModeCanary, table.Service("shop-api").Mode)
	require.Equal(t, 30*time.Second, table.Service("shop-api").Timeout)
}

// TestSpellings loads values that can be written in several ways.
func TestSpellings(t *testing.T) {
	t.Parallel()
	table, err := config.Load("f.yaml", []byte(`
global: {debug_headers: true, drop_invalid_headers: true, cache_size: 2m, retry_attempts: 10, default_timeout: 1m30s, trusted_proxies: [192.168.0.0/16, 10.0.0.1]}
services:
  - name: api
    old_host: API.Example.com
    old_backend: http://a
    new_host: b
    new_backend: http://b:443
    path_prefix: /v1/
    max_body_size: 1024
    fallback: {failure_window: 1m30s, recovery_time: "300", failure_ratio: 1, on_status: [504, 500]}
    health_check: {status: 204}
    cache: {ttl: 60, cookies: true}
    compare: {continuous: true, skip: ["/cart/*"]}
    migration: {percentage: 50, ramp: {steps: [1, 5.25, {to: 25, hold: 90m}], parity: 98.5}}
  - {name: off, old_host: off, old_backend: "a:80", new_host: b, new_backend: "b:80", cache: {enabled: false, ttl: 1h}}
`))
	require.NoError(t, err)
	require.Equal(t, []migration.RampStep{
		{To: 100, Hold: 30 * time.Minute}, {To: 525, Hold: 30 * time.Minute}, {To: 2500, Hold: 90 * time.Minute},
	}, table.Service("api").Ramp.Steps)
	require.Equal(t, migration.Share(2000), table.Service("api").Ramp.Back.By)
	require.Equal(t, migration.Share(9850), table.Service("api").Ramp.Parity)
	require.Equal(t, &migration.Compare{Continuous: true, Skip: []string{"/cart/*"}}, table.Service("api").Compare)
	require.Nil(t, table.Service("off").Compare)
	require.Zero(t, table.Service("api").Ramp.NoData)
	require.Nil(t, table.Service("off").Ramp)
	require.Equal(t, migration.Global{
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32"), netip.MustParsePrefix("192.168.0.0/16")},
		DebugHeaders:   true, DropInvalidHeaders: true, CacheBytes: 2 << 20,
	}, table.Global())
	api := table.Service("api")
	require.Equal(t, migration.Host("api.example.com"), api.OldHost)
	require.Equal(t, migration.PathPrefix("/v1"), api.PathPrefix)
	require.Equal(t, migration.HTTP, api.NewBackend.Scheme)
	require.Equal(t, 90*time.Second, api.Timeout)
	require.Equal(t, int64(1024), api.MaxBodyBytes)
	require.Equal(t, 90*time.Second, api.Fallback.Window)
	require.Equal(t, 5*time.Minute, api.Fallback.RecoveryTime)
	require.Equal(t, []int{500, 504}, api.Fallback.OnStatus)
	require.Equal(t, &migration.Cache{TTL: time.Minute, Cookies: true}, api.Cache)
	require.Nil(t, table.Service("off").Cache)
	require.Equal(t, 204, api.HealthCheck.StatusMin)
	require.Equal(t, 204, api.HealthCheck.StatusMax)
}

// TestExampleHasEveryKey: examples/all.yaml has every key.
func TestExampleHasEveryKey(t *testing.T) {
	t.Parallel()
	text, err := config.Schema()
	require.NoError(t, err)
	var schema map[string]any
	require.NoError(t, json.Unmarshal(text, &schema))
	example := string(readFile(t, "../examples/all.yaml"))
	for _, key := range keysOf(schema) {
		require.Regexp(t, `(?m)(^|[ {])`+key+`:`, example)
	}
}

// keysOf is every property in a schema.
func keysOf(schema map[string]any) []string {
	var keys []string
	properties, _ := schema["properties"].(map[string]any)
	for key, value := range properties {
		property, _ := value.(map[string]any)
		keys = append(append(keys, key), keysOf(property)...)
	}
	if items, ok := schema["items"].(map[string]any); ok {
		keys = append(keys, keysOf(items)...)
	}
	forms, _ := schema["anyOf"].([]any)
	for _, form := range forms {
		keys = append(keys, keysOf(form.(map[string]any))...)
	}
	return keys
}
