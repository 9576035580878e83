package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/config"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/status"
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

// change is a goal and the text that it leads to.
type change struct {
	goal
	before      []byte
	after       []byte
	digest      string // of the table after it
	shareBefore migration.Share
}

func newUpdate() *cobra.Command {
	var options updateOptions
	cmd := &cobra.Command{
		Use:   "update NAME PERCENT",
		Short: "Change one service's percentage and wait until it is served",
		Long: `Change one service's percentage in the cluster's ConfigMap, or in FILE with
--local-config, keeping every other byte of it, and wait until every ready
replica (with FILE: the proxy that --http names) serves the change. The exit
code is 1 when one does not: the config then still has the new percentage, and
the message says who does not serve it, and why.`,
		Example: `  migration-proxy update api-name01 20
  migration-proxy update api-name01 0.25% --dry-run
  migration-proxy update api-name01 0                                 # back to old, at once
  migration-proxy update api-name01 20 --local-config migration.yaml`,
		Args:              exactly("NAME", "PERCENT"),
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
	case len(args) > 0 || fromEnvironment(cmd) != nil:
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
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s would change; nothing was written\n", wanted)
		return err
	}
	earlier, _, _ := options.status(cmd.Context()) // unreachable is said when it is waited for
	if err := wanted.write(options.file); err != nil {
		return err
	}
	if options.noWait {
		_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s, written to %s\n", wanted, options.file)
		return err
	}
	written := time.Now()
	if err := options.await(cmd.Context(), wanted, earlier.Config.Rejected); err != nil {
		return fmt.Errorf("%s has the change, but it is not in force: %w", options.file, err)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s, in force after %s\n", wanted, time.Since(written).Round(time.Millisecond))
	return err
}

// goal is what update is asked for.
type goal struct {
	service migration.Name
	share   migration.Share
}

func parseGoal(args []string) (goal, error) {
	name, err := migration.ParseName(args[0])
	if err != nil {
		return goal{}, usageError{err}
	}
	share, err := migration.ParseShare(strings.TrimSuffix(args[1], "%"))
	if err != nil {
		return goal{}, usageError{err}
	}
	return goal{name, share}, nil
}

// plan does all that can fail and changes nothing. Name is what messages call
// the text.
func (g goal) plan(name string, before []byte) (change, error) {
	after, err := config.SetPercentage(name, before, g.service, g.share)
	if err != nil {
		return change{}, err
	}
	was, err := config.Load(name, before)
	if err != nil {
		return change{}, err
	}
	becomes, err := config.Load(name, after)
	if err != nil {
		return change{}, err
	}
	return change{g, before, after, becomes.Digest(), was.Service(g.service).Share}, nil
}

// write replaces the file, unless it says the same already.
func (c change) write(file string) error {
	if bytes.Equal(c.before, c.after) {
		return nil
	}
	return replaceFile(file, c.before, c.after)
}

// String is "api-name01: 20 % -> 50 %".
func (c change) String() string {
	return fmt.Sprintf("%s: %s %% -> %s %%", c.service, c.shareBefore, c.share)
}

// await asks until the digest is served. A config that was rejected before
// the change (earlier) is not news.
func (o *updateOptions) await(ctx context.Context, wanted change, earlier *status.Rejected) error {
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
			return nil
		case err == nil && isNews(now.Config.Rejected, earlier):
			return rejection("the proxy", now)
		case err == nil:
			last = o.notYet(now)
		}
		select {
		case <-ctx.Done():
			return last
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
