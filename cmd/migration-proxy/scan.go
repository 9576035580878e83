package main

import (
	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	cliscan "github.com/migration-proxy/migration-proxy/internal/cli/scan"
	"github.com/migration-proxy/migration-proxy/scan"
)

type scanOptions struct {
	cluster                    clusterOptions
	files                      []string
	output, failOn, configFile string
	writeConfig                bool
}

func newScan() *cobra.Command {
	var options scanOptions
	cmd := &cobra.Command{
		Use:   "scan [NAMESPACE...]",
		Short: "Show which Ingresses can be migrated, before anything is installed",
		Long: `Show which Ingresses can be migrated: those of the cluster or of NAMESPACEs, or
with -f those in manifests. Nothing needs to be installed, nothing is changed,
and your own rights are enough: list on Ingresses, and on IngressClasses and
Services to know controllers and named ports.

Each path has a verdict, which is the decision of admission and of the watcher:

  ready     it is migrated, and nothing changes but the way
  adjusted  it is migrated, and an annotation has another value meanwhile
  warned    it is migrated, and something changes for its requests
  held      it stays at old because of other objects, such as another Ingress
  refused   it stays at old because of the Ingress itself
  skipped   it answers an ACME challenge

Paths are examined with the services of the migration config. Hosts that it has
not get the services that --write-config prints: everything to old, and
CHANGE-ME for where new is, which you replace.`,
		Example: `  migration-proxy scan
  migration-proxy scan shop blog -o markdown
  helm template . | migration-proxy scan -f - --fail-on refused
  migration-proxy scan --write-config > migration.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error { return runScan(cmd, args, options) },
	}
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringArrayVarP(&options.files, "file", "f", nil, "manifests: a file, a folder, or - for standard input; may be repeated")
	flags.StringVarP(&options.output, "output", "o", "table", "table, json or markdown")
	flags.StringVar(&options.failOn, "fail-on", "", "end with exit code 1 if an Ingress is refused, held or warned, or worse")
	flags.StringVar(&options.configFile, "config", "", "the migration config, in place of the cluster's")
	flags.BoolVar(&options.writeConfig, "write-config", false, "print the services that the migration config needs and has not")
	completeWords(cmd, "output", "table", "json", "markdown")
	completeWords(cmd, "fail-on", "refused", "held", "warned")
	return cmd
}

func (o *scanOptions) check(args []string) error {
	if err := oneOf("output", o.output, "table", "json", "markdown"); err != nil {
		return err
	}
	if o.failOn != "" {
		if err := oneOf("fail-on", o.failOn, "refused", "held", "warned"); err != nil {
			return err
		}
	}
	if len(o.files) > 0 && len(args) > 0 {
		return wrongUsage("-f and NAMESPACE %q: choose one", args[0])
	}
	return nil
}

func runScan(cmd *cobra.Command, args []string, options scanOptions) error {
	if err := options.check(args); err != nil {
		return err
	}
	show := cliscan.Options{Format: cliscan.Format(options.output), FailOn: scan.Verdict(options.failOn)}
	if options.writeConfig {
		show.Format = cliscan.Config
	}
	if options.configFile != "" {
		table, err := configfile.Load(options.configFile, cmd.InOrStdin())
		if err != nil {
			return err
		}
		show.Table = table
	}
	source, err := options.source(cmd, args)
	if err != nil {
		return err
	}
	return cliscan.Show(cmd.Context(), cmd.OutOrStdout(), source, show)
}

func (o *scanOptions) source(cmd *cobra.Command, args []string) (cliscan.Source, error) {
	if len(o.files) > 0 {
		return cliscan.FromFiles(o.files, cmd.InOrStdin()), nil
	}
	in, err := o.cluster.installation("name manifests with -f")
	if err != nil {
		return nil, err
	}
	return cliscan.FromCluster(in, args), nil
}
