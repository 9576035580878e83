package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/check"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
)

// checkInterval is how often a part that does not work yet is asked again.
const checkInterval = time.Second

func newCheck() *cobra.Command {
	var (
		cluster clusterOptions
		timeout time.Duration
	)
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the installation works",
		Long: `Check that the installation works, with your own rights: each replica is ready
and serves the newest config, the watcher has recorded each service's state, and
the API server reaches the webhook and trusts it. For the last one, a config
that does not load is written as a dry run and must be refused; nothing changes.

'helm test migration-proxy' runs it in the cluster.`,
		Example: `  migration-proxy check
  migration-proxy check --timeout 2m       # after an installation without --wait`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			in, err := cluster.installation("ask one proxy with 'migration-proxy status --http localhost:8080'")
			if err != nil {
				return err
			}
			return check.Run(cmd.Context(), cmd.OutOrStdout(), in, waiting.Pace{Interval: checkInterval, Timeout: timeout})
		},
	}
	cluster.flags(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 20*time.Second, "how long each part may take until it works")
	return cmd
}
