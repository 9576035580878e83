package main

import (
	"fmt"
	"os"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/spf13/cobra"
)

// loadTable reads the migration config that FILE names; "-" is standard input.
func loadTable(cmd *cobra.Command, file string) (*migration.Table, error) {
	name, text, err := readConfig(cmd, file)
	if err != nil {
		return nil, err
	}
	return config.Load(name, text)
}

// givenTable is that of the FILE that was given, else of the cluster's
// ConfigMap.
func givenTable(cmd *cobra.Command, args []string, asked clusterOptions) (*migration.Table, error) {
	if len(args) > 0 {
		return loadTable(cmd, args[0])
	}
	found, err := asked.ask("name a FILE")
	if err != nil {
		return nil, err
	}
	_, text, err := found.migrationConfig(cmd.Context())
	if err != nil {
		return nil, err
	}
	return config.Load(found.object.String(), text)
}

func readConfig(cmd *cobra.Command, file string) (string, []byte, error) {
	if file == "-" {
		text, err := config.ReadAll(cmd.InOrStdin())
		return "<stdin>", text, err
	}
	source, err := os.Open(file)
	if err != nil {
		return "", nil, fmt.Errorf("read config: %w", err)
	}
	defer func() { _ = source.Close() }() // only read
	text, err := config.ReadAll(source)
	return file, text, err
}

// completeFile offers YAML files for the first argument.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// serviceNames are those of a config file, for completion: a file that does
// not load has none.
func serviceNames(cmd *cobra.Command, file string) []string {
	table, err := loadTable(cmd, file)
	if err != nil {
		return nil
	}
	return namesOf(table)
}

func namesOf(table *migration.Table) []string {
	var names []string
	for _, service := range table.Services() {
		names = append(names, string(service.Name))
	}
	return names
}
