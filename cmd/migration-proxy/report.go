package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	history "github.com/migration-proxy/migration-proxy/internal/cli/report"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/localjournal"
)

type reportOptions struct {
	migrationPlace
	output string
	since  time.Duration // 0: from the beginning
}

func newReport() *cobra.Command {
	var options reportOptions
	cmd := &cobra.Command{
		Use:   "report [SERVICE]",
		Short: "Show what happened in the migration, why and by whom",
		Long: `Show what happened in the migration, why and by whom: how long each share was
in force, for how many users, and what was counted until it changed; when all
was on old, and what new got before; then every change, fallback, return,
bypass, drill and refused config. It reads the ConfigMap migration-journal, with
your own rights; with --local-config the journal in --runtime-dir. It has the
newest 300 entries.`,
		Example: `  migration-proxy report
  migration-proxy report shop --since 168h
  migration-proxy report shop -o html > shop.html`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return wrongUsage("unexpected argument %q", args[1])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runReport(cmd, args, options) },
	}
	options.migrationPlace.flags(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&options.output, "output", "o", "markdown", "markdown, html or json")
	flags.DurationVar(&options.since, "since", 0, "only what happened in this time until now; 0 is everything")
	completeWords(cmd, "output", "markdown", "html", "json")
	return cmd
}

func runReport(cmd *cobra.Command, args []string, options reportOptions) error {
	if err := oneOf("output", options.output, "markdown", "html", "json"); err != nil {
		return err
	}
	if options.since < 0 {
		return wrongUsage("--since %s: a time until now, such as 24h", options.since)
	}
	service := ""
	if len(args) == 1 {
		name, err := migration.ParseName(args[0])
		if err != nil {
			return usageError{err}
		}
		service = string(name)
	}
	all, source, err := options.journal(cmd.Context())
	if err != nil {
		return err
	}
	now, since := time.Now(), time.Time{}
	if options.since > 0 {
		since = now.Add(-options.since)
	}
	entries := all.Of(service, since)
	if len(entries) == 0 {
		return fmt.Errorf("the journal, %s, has nothing about this; 'migration-proxy report' shows all that it has", source)
	}
	made := history.New(source, entries, now)
	made.Service, made.Since = service, since.UTC()
	return made.Write(cmd.OutOrStdout(), history.Format(options.output))
}

// journal gives the journal with the name of its place.
func (o *reportOptions) journal(ctx context.Context) (journal.Journal, string, error) {
	if o.file != "" {
		all, err := localjournal.Read(o.runtimeDir)
		return all, localjournal.Path(o.runtimeDir), err
	}
	in, err := o.cluster.installation("name the file of a proxy without a cluster with --local-config")
	if err != nil {
		return journal.Journal{}, "", err
	}
	all, err := in.Journal(ctx)
	return all, "ConfigMap " + in.JournalName(), err
}
