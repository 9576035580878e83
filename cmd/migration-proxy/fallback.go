package main

import (
	"fmt"
	"os/user"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
)

func newFallback() *cobra.Command {
	return newBreakerCommand(fallback.Trip, &cobra.Command{
		Use:   "fallback NAME",
		Short: "Send all of a service's traffic to old, now, until 'recover'",
		Long: `Send all of a service's traffic to old, now, until 'recover NAME'. Rules do not
count either. It needs no reload, survives restarts, and does not change the
config. It works on the proxy's own machine only, as the proxy's user.`,
		Example: "  migration-proxy fallback api-name01",
	})
}

func newRecover() *cobra.Command {
	return newBreakerCommand(fallback.Clear, &cobra.Command{
		Use:   "recover NAME",
		Short: "End a service's fallback, now",
		Long: `End a service's fallback, now: its share and rules apply again, and failures are
counted from zero. A service whose health check still fails falls back again. It
works on the proxy's own machine only, as the proxy's user.`,
		Example: "  migration-proxy recover api-name01",
	})
}

// newBreakerCommand sends the operator's command to the proxy's circuit
// breaker.
func newBreakerCommand(command fallback.Command, cmd *cobra.Command) *cobra.Command {
	var runtimeDir string
	var dryRun bool
	cmd.Args = exactly("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := migration.ParseName(args[0])
		if err != nil {
			return usageError{err}
		}
		order := breaker.Order{Command: command, Service: name, By: userName()}
		if !dryRun {
			return breaker.SendCommand(cmd.Context(), runtimeDir, order)
		}
		plan, err := breaker.AskPlan(cmd.Context(), runtimeDir, order)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\nnothing was written\n", plan)
		return err
	}
	flags := cmd.Flags()
	flags.StringVar(&runtimeDir, "runtime-dir", dataplane.DefaultRuntimeDir(), "the proxy's own directory")
	flags.BoolVar(&dryRun, "dry-run", false, "print what would change and change nothing")
	environmentOf(flags, "runtime-dir")
	return cmd
}

// userName is the user of this process, for the reasons that others read; "" if
// it has no name.
func userName() string {
	current, err := user.Current()
	if err != nil {
		return ""
	}
	return current.Username
}
