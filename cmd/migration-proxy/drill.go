package main

import (
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/drill"
	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

type drillOptions struct {
	proxyOption
	migrationPlace
	duration time.Duration
}

func newDrill() *cobra.Command {
	var options drillOptions
	cmd := &cobra.Command{
		Use:   "drill SERVICE",
		Short: "Rehearse a fallback: all to old for some seconds, measured",
		Long: `Rehearse a fallback at the share that the service has: for some seconds all its
requests go to old, as when new fails; in a cluster the Ingresses follow. Then
the share is back. The command measures how long both take and what clients get
meanwhile, and the journal has the result.

It always returns. Each replica ends the drill by itself when its time is over,
without this command, the watcher or the API server; Ctrl-C ends it at once.

It is refused while the service is not Migrating in every ready replica, while
old is ill, and when nothing goes to new. A ramp keeps its position. The order
is written to ConfigMap migration-ramp with your own rights and your name. With
--local-config the proxy of --runtime-dir makes the drill, and you must be its
user.`,
		Example: `  migration-proxy drill shop
  migration-proxy drill shop --for 1m`,
		Args:              exactly("SERVICE"),
		ValidArgsFunction: options.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return runDrill(cmd, args[0], options) },
	}
	options.proxyOption.flag(cmd)
	options.migrationPlace.flags(cmd)
	cmd.Flags().DurationVar(&options.duration, "for", drill.DefaultTime, "how long new gets nothing, at most 5m")
	return cmd
}

// shortestDrill lets every replica begin.
const shortestDrill = 2 * time.Second

func runDrill(cmd *cobra.Command, service string, options drillOptions) error {
	name, err := migration.ParseName(service)
	if err != nil {
		return usageError{err}
	}
	if options.duration < shortestDrill || options.duration > status.MaxDrill {
		return wrongUsage("--for %s: from %s to %s", options.duration, shortestDrill, status.MaxDrill)
	}
	source, err := options.source()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return drill.Run(ctx, cmd.OutOrStdout(), source, drill.Options{Service: name, For: options.duration})
}

// source is one proxy with --local-config, else the cluster.
func (o *drillOptions) source() (drill.Source, error) {
	in, err := o.installation()
	switch {
	case err != nil:
		return nil, err
	case in != nil:
		return drill.InCluster{InCluster: ramps.InCluster{Installation: in}}, nil
	}
	proxy, err := o.proxy()
	return drill.Local{File: o.file, RuntimeDir: o.runtimeDir, User: userName(), Proxy: proxy}, err
}
