package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidate() *cobra.Command {
	var asked clusterOptions
	cmd := &cobra.Command{
		Use:   "validate [FILE|-]",
		Short: "Check a migration config",
		Long: `Check a migration config: FILE, or without one the cluster's ConfigMap. Silent
when all is well; else every problem goes to standard error as file:line:col:
path: what is wrong, and the exit code is 1. What is allowed and may surprise is
told as a note.`,
		Example: `  migration-proxy validate migration.yaml
  migration-proxy validate                 # what the cluster has now`,
		Args:              atMost("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			table, err := givenTable(cmd, args, asked)
			if err != nil {
				return err
			}
			for _, risk := range table.Risks(nil) {
				fmt.Fprintln(cmd.ErrOrStderr(), "note:", risk)
			}
			return nil
		},
	}
	asked.flags(cmd)
	return cmd
}
