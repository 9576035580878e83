package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/spf13/cobra"
)

// pollEvery is how often a proxy is asked whether it serves a change.
const pollEvery = 20 * time.Millisecond

type updateOptions struct {
	proxyClient
	cluster        clusterOptions // if file is ""
	file           string
	timeout        time.Duration
	noWait, dryRun bool
}

func newUpdate() *cobra.Command {
	var options updateOptions
	cmd := &cobra.Command{
		Use:   "update NAME PERCENT | on | off",
		Short: "Change a percentage, or switch a service off, wait until it is served",
		Long: `Change one service's percentage in the cluster's ConfigMap, or in FILE with
--local-config, keeping every other byte of it, and wait until every ready
replica (with FILE: the proxy that --http names) serves the change. The exit
code is 1 when one does not: the config then still has the change, and the
message says who does not serve it, and why.

off (migration.enabled: false) sends everything to old at once. 0 is less:
header and IP rules come before the percentage, and go on sending requests to
new. on goes on where off ended. A note tells what keeps the change from having
effect.`,
		Example: `  migration-proxy update api-name01 20
  migration-proxy update api-name01 0.25% --dry-run
  migration-proxy update api-name01 off                               # all back to old, at once
  migration-proxy update api-name01 20 --local-config migration.yaml`,
		Args:              exactly("NAME", "PERCENT, on or off"),
		ValidArgsFunction: options.complete,
		RunE:              func(cmd *cobra.Command, args []string) error { return update(cmd, args, options) },
	}
	options.proxyClient.flags(cmd)
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&options.file, "local-config", "", "migration config to change, instead of the ConfigMap")
	flags.DurationVar(&options.timeout, "timeout", 10*time.Second, "how long to wait until it is served")
	flags.BoolVar(&options.noWait, "no-wait", false, "change the config and do not ask who serves it")
	flags.BoolVar(&options.dryRun, "dry-run", false, "say what would change and change nothing")
	environmentOf(flags, "local-config")
	return cmd
}

func (o *updateOptions) complete(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	switch {
	case len(args) == 1:
		return []string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
	case len(args) > 1 || fromEnvironment(cmd) != nil:
		return nil, cobra.ShellCompDirectiveNoFileComp
	case o.file == "":
		return liveNames(cmd, o.cluster), cobra.ShellCompDirectiveNoFileComp
	}
	return serviceNames(cmd, o.file), cobra.ShellCompDirectiveNoFileComp
}

func update(cmd *cobra.Command, args []string, options updateOptions) error {
	goal, err := parseGoal(args)
	if err != nil {
		return err
	}
	switch options.file {
	case "":
		return updateCluster(cmd, goal, options)
	case "-":
		return wrongUsage("--local-config -: name the file to change")
	}
	return updateFile(cmd, goal, options)
}

func updateFile(cmd *cobra.Command, goal goal, options updateOptions) error {
	_, text, err := readConfig(cmd, options.file)
	if err != nil {
		return err
	}
	wanted, err := goal.plan(options.file, text)
	if err != nil {
		return err
	}
	if options.dryRun {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s would change; nothing was written\n%s", wanted, wanted.note(status.Service{}))
		return err
	}
	earlier, _, _ := options.status(cmd.Context()) // unreachable is said when it is waited for
	if err := wanted.write(options.file); err != nil {
		return err
	}
	if options.noWait {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, written to %s\n%s", wanted, options.file, wanted.note(status.Service{}))
		return err
	}
	written := time.Now()
	now, err := options.await(cmd.Context(), wanted, earlier.Config.Rejected)
	if err != nil {
		return fmt.Errorf("%s has the change, but it is not in force: %w", options.file, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, in force after %s\n%s", wanted, time.Since(written).Round(time.Millisecond),
		wanted.note(rowOf(now.Services, wanted.service)))
	return err
}

// await asks until the digest is served. A config that was rejected before
// the change (earlier) is not news.
func (o *updateOptions) await(ctx context.Context, wanted change, earlier *status.Rejected) (status.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	last := errors.New("the proxy was not asked in time")
	for {
		now, _, err := o.status(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			last = err
		case err == nil && now.Config.Digest == wanted.digest:
			return now, nil
		case err == nil && isNews(now.Config.Rejected, earlier):
			return now, rejection("the proxy", now)
		case err == nil:
			last = o.notYet(now)
		}
		select {
		case <-ctx.Done():
			return now, last
		case <-tick.C:
		}
	}
}

func isNews(now, earlier *status.Rejected) bool {
	return now != nil && (earlier == nil || !now.At.Equal(earlier.At))
}

func rejection(who string, now status.Status) error {
	return fmt.Errorf("%s rejected it (%s):\n%s", who, now.Config.Rejected.Stage, strings.Join(now.Config.Rejected.Problems, "\n"))
}

func (o *updateOptions) notYet(now status.Status) error {
	if now.Config.Rejected != nil {
		return rejection("the proxy", now)
	}
	return fmt.Errorf("after %s the proxy at %s still serves digest %s of %s; does it read this file?",
		o.timeout, o.host(), now.Config.Digest, now.Config.Source)
}
