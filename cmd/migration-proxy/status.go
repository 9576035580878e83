package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/statusview"
)

type statusOptions struct {
	proxyOption
	cluster         clusterOptions // without --http
	output, service string
	watch           time.Duration // 0: once
}

func newStatus() *cobra.Command {
	var options statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is served and how both sides do",
		Long: `Show what is served and how both sides do: the desired and the observed share,
the phase, and for old and new over the last minute the requests per second,
the part that failed, and the latency (median and 99th percentile).

The command asks all replicas of the cluster through the API server, with your
own rights. OBSERVED has the share of each replica; the other figures are sums,
means weighted by traffic, and the worst P99. With --http it asks one proxy and
no cluster.`,
		Example: `  migration-proxy status
  migration-proxy status --service api-name01 -o wide --watch
  migration-proxy status --http localhost:8080 -o json | jq .config.digest`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd, options) },
	}
	options.proxyOption.flag(cmd)
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&options.output, "output", "o", "table", "table, wide, json or yaml")
	flags.StringVar(&options.service, "service", "", "show this service only")
	flags.DurationVar(&options.watch, "watch", 0, "show it again and again, every 2s or --watch=INTERVAL")
	flags.Lookup("watch").NoOptDefVal = "2s"
	completeWords(cmd, "output", "table", "wide", "json", "yaml")
	must(cmd.RegisterFlagCompletionFunc("service", options.completeService))
	return cmd
}

func (o *statusOptions) completeService(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch {
	case fromEnvironment(cmd) != nil:
		return nil, noFiles
	case cmd.Flags().Changed("http"):
		return servicesOfProxy(cmd, o.address), noFiles
	}
	return servicesOfCluster(cmd, o.cluster), noFiles
}

func runStatus(cmd *cobra.Command, options statusOptions) error {
	if err := oneOf("output", options.output, "table", "wide", "json", "yaml"); err != nil {
		return err
	}
	if options.watch != 0 && options.watch < statusview.ShortestInterval {
		return wrongUsage("--watch %s: at least %s", options.watch, statusview.ShortestInterval)
	}
	source, err := options.source(cmd)
	if err != nil {
		return err
	}
	format := statusview.Format(options.output)
	if options.watch == 0 {
		return statusview.Show(cmd.Context(), cmd.OutOrStdout(), source, format)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return statusview.Watch(ctx, cmd.OutOrStdout(), source, format, options.watch)
}

// source is one proxy with --http (or its variable), else the cluster.
func (o *statusOptions) source(cmd *cobra.Command) (statusview.Source, error) {
	if cmd.Flags().Changed("http") {
		proxy, err := o.proxy()
		return statusview.FromProxy(proxy, o.service), err
	}
	in, err := o.cluster.installation("ask one proxy with --http localhost:8080")
	return statusview.FromCluster(in, o.service), err
}
