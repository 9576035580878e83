package main

import (
	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
)

// proxyOption is the flag that names one proxy.
type proxyOption struct{ address string }

func (o *proxyOption) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.address, "http", "localhost:8080", "HTTP address of the proxy")
	environmentOf(cmd.Flags(), "http")
}

func (o *proxyOption) proxy() (oneproxy.Proxy, error) {
	proxy, err := oneproxy.New(o.address)
	if err != nil {
		return proxy, wrongUsage("--http %q: %w", o.address, err)
	}
	return proxy, nil
}
