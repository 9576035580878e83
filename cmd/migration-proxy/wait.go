package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
)

type waitOptions struct {
	rampSource
	goal    string
	timeout time.Duration
}

func newWait() *cobra.Command {
	var options waitOptions
	cmd := &cobra.Command{
		Use:   "wait SERVICE",
		Short: "Wait until the ramp of a service has reached a step",
		Long: `Wait until the ramp of a service has reached its last step (done), or a position
of at least N % that every replica serves (step=N). It looks every 2 seconds and
prints each change. The exit code is 1 when the time is over: the message says
what the ramp still waits for. It moves nothing.`,
		Example: `  migration-proxy wait shop
  migration-proxy wait shop --for step=25 --timeout 6h`,
		Args:              exactly("SERVICE"),
		ValidArgsFunction: options.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return runWait(cmd, args, options) },
	}
	options.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&options.goal, "for", "done", "done or step=N")
	flags.DurationVar(&options.timeout, "timeout", time.Hour, "how long to wait")
	completeWords(cmd, "for", "done", "step=")
	return cmd
}

func runWait(cmd *cobra.Command, args []string, options waitOptions) error {
	goal, err := ramps.ParseGoal(args[0], options.goal)
	if err != nil {
		return usageError{err}
	}
	from, err := options.source()
	if err != nil {
		return err
	}
	return ramps.Wait(cmd.Context(), cmd.OutOrStdout(), from, goal, waiting.Pace{Interval: waitInterval, Timeout: options.timeout})
}
