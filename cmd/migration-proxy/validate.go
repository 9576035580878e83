package main

import "github.com/spf13/cobra"

func newValidate() *cobra.Command {
	var asked clusterOptions
	cmd := &cobra.Command{
		Use:   "validate [FILE|-]",
		Short: "Check a migration config",
		Long: `Check a migration config: FILE, or without one the cluster's ConfigMap. Silent
when all is well; else every problem goes to standard error as file:line:col:
path: what is wrong, and the exit code is 1.`,
		Example: `  migration-proxy validate migration.yaml
  migration-proxy validate                 # what the cluster has now`,
		Args:              atMost("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := givenTable(cmd, args, asked)
			return err
		},
	}
	asked.flags(cmd)
	return cmd
}
