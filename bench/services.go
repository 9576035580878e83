package main

import (
	"fmt"
	"strings"
)

// services describes a migration config of many services, each with a header
// rule and an IP rule. As in a cluster, each has an old of its own, and new is one
// gateway for all.
type services struct {
	count    int
	backends backends
	shares   map[int]string // the percentages that are not 50
	timeout  string         // of the first service
	https    bool           // for new
	caFile   string         // for https; "" means the system's roots
	hashed   map[int]bool   // the services with strategy user_hash
}

// hostOf is the host of service n, as clients send it.
func hostOf(n int) string { return fmt.Sprintf("api-%d.old.example.com", n) }

// old is the address of service n's old: one process listens on all of 127.0.0.0/8.
func (s services) old(n int) string {
	return fmt.Sprintf("127.1.%d.%d:%d", n/256, n%256, s.backends.old)
}

// yaml is the config's text.
func (s services) yaml() string {
	var text strings.Builder
	text.WriteString("services:\n")
	for n := range s.count {
		s.write(&text, n)
	}
	return text.String()
}

func (s services) write(text *strings.Builder, n int) {
	share, timeout, strategy, scheme := "50", "30s", "weight", "http"
	if own, ok := s.shares[n]; ok {
		share = own
	}
	if n == 0 && s.timeout != "" {
		timeout = s.timeout
	}
	if s.hashed[n] {
		strategy = "user_hash"
	}
	if s.https {
		scheme = "https"
	}
	fmt.Fprintf(text, `  - name: api-%d
    old_host: %s
    old_backend: http://%s
    new_host: api-%d.new.example.com
    new_backend: %s://%s
    timeout: %s
`, n, hostOf(n), s.old(n), n, scheme, loopback(s.backends.new), timeout)
	if s.https && s.caFile != "" {
		fmt.Fprintf(text, "    tls: {ca_file: %q}\n", s.caFile)
	}
	fmt.Fprintf(text, `    migration: {enabled: true, strategy: %s, percentage: %s}
    canary:
      header_rules: [{header: X-Migration-Target, value: new, target: new_cluster}]
      ip_rules: [{cidr: 10.0.0.0/8, target: new_cluster}]
`, strategy, share)
}
