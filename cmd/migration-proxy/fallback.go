package main

import (
	"os/user"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/fallback"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/proxy/breaker"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
)

// newFallback and newRecover are the operator's hand on the second net.
func newFallback() *cobra.Command {
	return commanding(fallback.Trip, &cobra.Command{
		Use:   "fallback NAME",
		Short: "Send all of a service's traffic to old, now, until 'recover'",
		Long: `Send all of a service's traffic to old, now, rules included, until 'recover
NAME' is said. It needs no reload, survives restarts, and leaves the config as
it is. Only on the proxy's own machine, as its user.`,
		Example: "  migration-proxy fallback api-name01",
	})
}

func newRecover() *cobra.Command {
	return commanding(fallback.Clear, &cobra.Command{
		Use:   "recover NAME",
		Short: "End a service's fallback, now",
		Long: `End a service's fallback, now: its share and rules hold again, and failures are
counted from zero. A service whose health check still fails falls back again.
Only on the proxy's own machine, as its user.`,
		Example: "  migration-proxy recover api-name01",
	})
}

func commanding(command fallback.Command, cmd *cobra.Command) *cobra.Command {
	var runtimeDir string
	cmd.Args = exactly("NAME")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, err := migration.ParseName(args[0])
		if err != nil {
			return usageError{err}
		}
		return breaker.Send(cmd.Context(), runtimeDir, command, name, operator())
	}
	flags := cmd.Flags()
	flags.StringVar(&runtimeDir, "runtime-dir", dataplane.DefaultRuntimeDir(), "the proxy's own directory")
	environmentOf(flags, "runtime-dir")
	return cmd
}

// operator is who commands, for the evidence.
func operator() string {
	if who, err := user.Current(); err == nil {
		return who.Username
	}
	return ""
}
