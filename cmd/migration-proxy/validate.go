package main

import "github.com/spf13/cobra"

func newValidate() *cobra.Command {
	return &cobra.Command{
		Use:   "validate FILE|-",
		Short: "Check a migration config",
		Long: `Check a migration config. Silent when all is well; else every problem goes to
standard error as file:line:col: path: what is wrong, and the exit code is 1.`,
		Example: `  migration-proxy validate migration.yaml
  kubectl get configmap migration-config -o go-template='{{index .data "migration.yaml"}}' | migration-proxy validate -`,
		Args:              exactly("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, err := loadTable(cmd, args[0])
			return err
		},
	}
}
