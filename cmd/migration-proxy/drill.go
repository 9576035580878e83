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
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
)

type drillOptions struct {
	proxyOption
	cluster          clusterOptions
	file, runtimeDir string
	duration         time.Duration
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
		Args: exactly("SERVICE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch {
			case len(args) > 0 || fromEnvironment(cmd) != nil:
				return nil, noFiles
			case options.file != "":
				return servicesOfFile(cmd, options.file), noFiles
			}
			return servicesOfCluster(cmd, options.cluster), noFiles
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runDrill(cmd, args[0], options) },
	}
	options.proxyOption.flag(cmd)
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&options.file, "local-config", "", "migration config of a proxy without a cluster")
	flags.StringVar(&options.runtimeDir, "runtime-dir", dataplane.DefaultRuntimeDir(), "that proxy's own directory")
	environmentOf(flags, "local-config", "runtime-dir")
	flags.DurationVar(&options.duration, "for", drill.DefaultTime, "how long new gets nothing, at most 5m")
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
	switch o.file {
	case "":
		in, err := o.cluster.installation("name the file of a proxy without a cluster with --local-config")
		return drill.InCluster{InCluster: ramps.InCluster{Installation: in}}, err
	case "-":
		return nil, wrongUsage("--local-config -: name the file")
	}
	proxy, err := o.proxy()
	return drill.Local{File: o.file, RuntimeDir: o.runtimeDir, User: userName(), Proxy: proxy}, err
}
