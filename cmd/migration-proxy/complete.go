package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/migration"
)

const noFiles = cobra.ShellCompDirectiveNoFileComp

// completionTimeout bounds a completion: the user is waiting for it.
const completionTimeout = 3 * time.Second

// completeWords offers fixed words for a flag.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, noFiles)))
}

// completeFile offers YAML files for the first argument.
func completeFile(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
}

// hosts are the old hosts of a config, for completion. A config that cannot be
// loaded has none.
func hosts(cmd *cobra.Command, args []string, cluster clusterOptions) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	table, err := cluster.table(ctx, args, cmd.InOrStdin())
	if err != nil {
		return nil
	}
	var hosts []string
	for _, service := range table.Services() {
		hosts = append(hosts, string(service.OldHost))
	}
	return hosts
}

// servicesOfFile are the names of the services of a file, for completion.
func servicesOfFile(cmd *cobra.Command, file string) []string {
	table, err := configfile.Load(file, cmd.InOrStdin())
	if err != nil {
		return nil
	}
	return namesOf(table)
}

// servicesOfCluster are the names of the services of the ConfigMap.
func servicesOfCluster(cmd *cobra.Command, cluster clusterOptions) []string {
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	table, err := cluster.table(ctx, nil, nil)
	if err != nil {
		return nil
	}
	return namesOf(table)
}

// servicesOfProxy are the names of the services that one proxy serves.
func servicesOfProxy(cmd *cobra.Command, address string) []string {
	proxy, err := oneproxy.New(address)
	if err != nil {
		return nil
	}
	now, _, err := proxy.Status(cmd.Context())
	if err != nil {
		return nil
	}
	var names []string
	for _, service := range now.Services {
		names = append(names, service.Name)
	}
	return names
}

func namesOf(table *migration.Table) []string {
	var names []string
	for _, service := range table.Services() {
		names = append(names, string(service.Name))
	}
	return names
}
