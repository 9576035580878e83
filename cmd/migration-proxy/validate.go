package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidate() *cobra.Command {
	var cluster clusterOptions
	cmd := &cobra.Command{
		Use:   "validate [FILE|-]",
		Short: "Check a migration config",
		Long: `Check a migration config: FILE, or without FILE the cluster's ConfigMap. The
command prints nothing when all is well. Otherwise it prints every problem on
standard error, as file:line:col: path: what is wrong, and the exit code is 1.
A note says what is allowed and may surprise.`,
		Example: `  migration-proxy validate migration.yaml
  migration-proxy validate                 # what the cluster has now`,
		Args:              atMost("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			table, err := cluster.table(cmd.Context(), args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			for _, risk := range table.Risks(nil) {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", risk)
			}
			return nil
		},
	}
	cluster.flags(cmd)
	return cmd
}
