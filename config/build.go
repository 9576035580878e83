package config

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/migration"
)

// build makes the table from a document without problems.
func build(doc document) (*migration.Table, error) {
	trusted := slices.SortedFunc(slices.Values(doc.Global.TrustedProxies), comparePrefix)
	services := make([]migration.Service, len(doc.Services))
	for i, s := range doc.Services {
		services[i] = s.build(doc.Global)
	}
	global := migration.Global{
		TrustedProxies: trusted, DebugHeaders: doc.Global.DebugHeaders, DropInvalidHeaders: doc.Global.DropInvalid,
		Freeze: doc.Global.Freeze, Notify: doc.Global.notifyTargets(),
	}
	if slices.ContainsFunc(services, func(s migration.Service) bool { return s.Cache != nil }) {
		global.CacheBytes = int64(doc.Global.CacheSize)
	}
	return migration.NewTable(global, services)
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func (s service) build(g global) migration.Service {
	built := migration.Service{
		Name: s.Name, OldHost: migration.Host(s.OldHost), PathPrefix: s.PathPrefix,
		OldBackend: s.OldBackend, NewHost: s.NewHost, NewBackend: s.NewBackend,
		Protocol: s.Protocol, Mode: s.Mode, RewriteOrigin: s.RewriteOrigin, Keepalive: s.Keepalive.build(g.Keepalive), Tries: int(g.RetryAttempts),
		MaxBodyBytes: int64(s.MaxBodySize), Gzip: s.Gzip, TLS: s.TLS.build(),
		Enabled: s.Migration.Enabled, Strategy: s.Migration.Strategy, Share: s.Migration.Percentage,
		HashKey: s.Migration.HashKey, Cohort: s.Migration.Cohort,
		HeaderRules: s.Canary.headerRules(), IPRules: s.Canary.ipRules(), Ramp: s.Migration.Ramp.build(),
		Fallback: s.Fallback.build(), HealthCheck: s.HealthCheck.build(), Cache: s.Cache.build(), Compare: s.Compare.build(),
	}
	for _, one := range s.Namespaces {
		built.Namespaces = append(built.Namespaces, string(one))
	}
	built.Timeout = firstOf(s.Timeout, &g.DefaultTimeout)
	shorter := min(defaultConnectTimeout, built.Timeout)
	built.ConnectTimeout = firstOf(s.ConnectTimeout, g.ConnectTimeout, &shorter)
	return built
}

// defaultConnectTimeout is that of the common ingress controllers. A user who sets a
// shorter timeout, and nothing about connections, wants an answer sooner.
const defaultConnectTimeout = 5 * time.Second

// firstOf gives the first value that exists.
func firstOf[T any](values ...*T) T {
	for _, value := range values {
		if value != nil {
			return *value
		}
	}
	return *new(T)
}

func (k serviceKeepalive) build(g keepalive) migration.Keepalive {
	return migration.Keepalive{
		Connections: int(firstOf(k.Connections, &g.Connections)),
		Requests:    int(firstOf(k.Requests, &g.Requests)),
		Idle:        firstOf(k.Idle, &g.Idle),
	}
}

func (t tls) build() migration.TLS {
	return migration.TLS{
		Verify: t.Verify, CAFile: string(t.CAFile), ServerName: t.ServerName,
		ClientCertFile: string(t.ClientCertFile), ClientKeyFile: string(t.ClientKeyFile),
	}
}

func (c canary) headerRules() []migration.HeaderRule {
	var rules []migration.HeaderRule
	for _, r := range c.HeaderRules {
		rules = append(rules, migration.HeaderRule{
			Header: r.Header, Value: string(r.Value), Pattern: r.Pattern, Target: r.Target,
		})
	}
	return rules
}

func (c canary) ipRules() []migration.IPRule {
	var rules []migration.IPRule
	for _, r := range c.IPRules {
		rules = append(rules, migration.IPRule{Network: r.CIDR, Target: r.Target})
	}
	return rules
}

func (f fallback) build() migration.Fallback {
	statuses := make([]int, len(f.OnStatus))
	for i, s := range f.OnStatus {
		statuses[i] = int(s)
	}
	slices.Sort(statuses)
	return migration.Fallback{
		Enabled: f.Enabled, MaxFailures: int(f.MaxFailures), Window: time.Duration(f.FailureWindow),
		RecoveryTime: time.Duration(f.RecoveryTime), FailureRatio: float64(f.FailureRatio), OnStatus: statuses,
	}
}

func (c *comparison) build() *migration.Compare {
	if c == nil {
		return nil
	}
	built := &migration.Compare{Continuous: c.Continuous}
	for _, pattern := range c.Skip {
		built.Skip = append(built.Skip, string(pattern))
	}
	return built
}

func (c *cache) build() *migration.Cache {
	if c == nil || !c.Enabled {
		return nil
	}
	return &migration.Cache{TTL: time.Duration(c.TTL), Cookies: c.Cookies}
}

func (h *healthCheck) build() *migration.HealthCheck {
	if h == nil {
		return nil
	}
	return &migration.HealthCheck{
		Path: string(h.Path), Interval: h.Interval, Timeout: h.Timeout,
		Healthy: int(h.Healthy), Unhealthy: int(h.Unhealthy),
		StatusMin: h.Status.low, StatusMax: h.Status.high,
	}
}
