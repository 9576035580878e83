package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/update"
)

type updateOptions struct {
	proxyOption                // that serves the file
	cluster     clusterOptions // of the ConfigMap, without a file
	file        string
	update      update.Options
}

func newUpdate() *cobra.Command {
	var options updateOptions
	cmd := &cobra.Command{
		Use:   "update NAME PERCENT | on | off",
		Short: "Change a percentage, or switch a service off, wait until it is served",
		Long: `Change one service's percentage in the cluster's ConfigMap, or in FILE with
--local-config. Every other byte stays. Then wait until every ready replica
serves the change; with FILE, until the proxy at --http does. The exit code is 1
when one of them does not: the config still has the change, and the message says
which replica does not serve it, and why.

off (migration.enabled: false) sends everything to old at once. 0 is less than
off: header and IP rules come before the percentage, and still send requests to
new. on continues where off stopped. A note says what keeps the change from
having effect.`,
		Example: `  migration-proxy update api-name01 20
  migration-proxy update api-name01 0.25% --dry-run
  migration-proxy update api-name01 off                               # all back to old, at once
  migration-proxy update api-name01 20 --local-config migration.yaml`,
		Args:              exactly("NAME", "PERCENT, on or off"),
		ValidArgsFunction: options.complete,
		RunE:              func(cmd *cobra.Command, args []string) error { return runUpdate(cmd, args, options) },
	}
	options.proxyOption.flag(cmd)
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&options.file, "local-config", "", "migration config to change, instead of the ConfigMap")
	flags.DurationVar(&options.update.Timeout, "timeout", 10*time.Second, "how long to wait until it is served")
	flags.BoolVar(&options.update.NoWait, "no-wait", false, "change the config and do not wait until it is served")
	flags.BoolVar(&options.update.DryRun, "dry-run", false, "say what would change and change nothing")
	environmentOf(flags, "local-config")
	return cmd
}

func (o *updateOptions) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 1:
		return []string{"on", "off"}, noFiles
	case len(args) > 1 || fromEnvironment(cmd) != nil:
		return nil, noFiles
	case o.file == "":
		return servicesOfCluster(cmd, o.cluster), noFiles
	}
	return servicesOfFile(cmd, o.file), noFiles
}

func runUpdate(cmd *cobra.Command, args []string, options updateOptions) error {
	goal, err := update.ParseGoal(args[0], args[1])
	if err != nil {
		return usageError{err}
	}
	switch options.file {
	case "":
		in, err := options.cluster.installation("name the file to change with --local-config")
		if err != nil {
			return err
		}
		return update.InCluster(cmd.Context(), cmd.OutOrStdout(), goal, in, options.update)
	case "-":
		return wrongUsage("--local-config -: name the file to change")
	}
	proxy, err := options.proxy()
	if err != nil {
		return err
	}
	return update.InFile(cmd.Context(), cmd.OutOrStdout(), goal, update.File{Path: options.file, Proxy: proxy}, options.update)
}
