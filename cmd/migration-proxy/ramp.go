package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/migration"
)

// How often ramp and wait look: a leader makes a step every ten seconds.
const (
	commandInterval = 500 * time.Millisecond
	waitInterval    = 2 * time.Second
)

// rampSource says where the ramps are.
type rampSource struct{ migrationPlace }

func (o *rampSource) source() (ramps.Source, error) {
	in, err := o.installation()
	switch {
	case err != nil:
		return nil, err
	case in != nil:
		return ramps.InCluster{Installation: in}, nil
	}
	return ramps.Local{File: o.file, RuntimeDir: o.runtimeDir, User: userName()}, nil
}

type rampOptions struct {
	rampSource
	output, reason string
	timeout        time.Duration
}

func newRamp() *cobra.Command {
	var options rampOptions
	cmd := &cobra.Command{
		Use:   "ramp [SERVICE [" + strings.Join(ramps.Verbs, "|") + "]]",
		Short: "Show where the ramps are, or command one",
		Long: `Show where the ramps are: position and ceiling, phase and reason, what the step
still needs, how many times old's failures and slow answers are new's (with the
95 % interval), and the next step. The evidence may be 30 seconds old.

  approve   the next step may begin
  hold      no step up; a step down is still possible
  resume    goes on; what new did wrong is forgiven
  skip      the next step now, unmeasured
  back      the step before, and hold

A command is written to ConfigMap migration-ramp with your rights and your name,
for the position that the ramp has now. Then it waits until the leader of the
watcher has taken it, at most --timeout. The exit code is 1 when it did nothing:
the message says why. With --local-config the proxy of --runtime-dir is the
leader, and you must be its user.`,
		Example: `  migration-proxy ramp
  migration-proxy ramp shop -o json
  migration-proxy ramp shop hold --reason "sale until Monday"`,
		Args: atMost("SERVICE", "COMMAND"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch {
			case len(args) == 1:
				return ramps.Verbs, noFiles
			case len(args) > 1 || fromEnvironment(cmd) != nil:
				return nil, noFiles
			}
			return options.services(cmd), noFiles
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runRamp(cmd, args, options) },
	}
	options.flags(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&options.output, "output", "o", "table", "table or json")
	flags.StringVar(&options.reason, "reason", "", "why, for the journal")
	flags.DurationVar(&options.timeout, "timeout", 30*time.Second, "how long to wait until a command is taken")
	completeWords(cmd, "output", "table", "json")
	return cmd
}

func runRamp(cmd *cobra.Command, args []string, options rampOptions) error {
	if err := oneOf("output", options.output, "table", "json"); err != nil {
		return err
	}
	if len(args) == 2 {
		return runRampCommand(cmd, args, options)
	}
	if options.reason != "" {
		return wrongUsage("--reason is for a command: %s", strings.Join(ramps.Verbs, ", "))
	}
	var service migration.Name
	if len(args) == 1 {
		name, err := migration.ParseName(args[0])
		if err != nil {
			return usageError{err}
		}
		service = name
	}
	from, err := options.source()
	if err != nil {
		return err
	}
	return ramps.Show(cmd.Context(), cmd.OutOrStdout(), from, service, ramps.Format(options.output))
}

func runRampCommand(cmd *cobra.Command, args []string, options rampOptions) error {
	order, err := ramps.ParseOrder(args[0], args[1], options.reason)
	if err != nil {
		return usageError{err}
	}
	from, err := options.source()
	if err != nil {
		return err
	}
	return ramps.Send(cmd.Context(), cmd.OutOrStdout(), from, order, waiting.Pace{Interval: commandInterval, Timeout: options.timeout})
}
