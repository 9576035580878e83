package main

import (
	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/installation"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
)

// migrationPlace are the flags that say where a migration is: in a cluster, or at a proxy
// that serves a file.
type migrationPlace struct {
	cluster    clusterOptions
	file       string // "": in the cluster
	runtimeDir string
}

func (o *migrationPlace) flags(cmd *cobra.Command) {
	o.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&o.file, "local-config", "", "migration config of a proxy without a cluster")
	flags.StringVar(&o.runtimeDir, "runtime-dir", dataplane.DefaultRuntimeDir(), "that proxy's own directory")
	environmentOf(flags, "local-config", "runtime-dir")
}

// installation is that of the cluster; nil with a file, which must have a name.
func (o *migrationPlace) installation() (*installation.Installation, error) {
	switch o.file {
	case "":
		return o.cluster.installation("name the file of a proxy without a cluster with --local-config")
	case "-":
		return nil, wrongUsage("--local-config -: name the file")
	}
	return nil, nil
}

func (o *migrationPlace) services(cmd *cobra.Command) []string {
	if o.file != "" {
		return servicesOfFile(cmd, o.file)
	}
	return servicesOfCluster(cmd, o.cluster)
}

// completeService completes the only argument of a command, a service.
func (o *migrationPlace) completeService(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 || fromEnvironment(cmd) != nil {
		return nil, noFiles
	}
	return o.services(cmd), noFiles
}
