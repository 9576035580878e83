package main

import (
	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/demo"
)

func newDemo() *cobra.Command {
	var options demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole migration on this machine, in about a minute",
		Long: `Show a whole migration on this machine, in about a minute: two sample clusters,
the proxy, and traffic that never stops. Each step runs the command that you
would type, then says what the clients saw. Everything lives in a temporary
folder and on 127.0.0.1, and is gone afterwards. It needs nginx and no root.

The exit code is 1 when any claim did not hold.`,
		Example: `  migration-proxy demo
  migration-proxy demo --keep   # then try your own commands
  migration-proxy demo --ui     # then open the page that it names`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			options.Out = cmd.OutOrStdout()
			return demo.Run(cmd.Context(), options)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&options.Keep, "keep", false, "leave all running at the end, until Ctrl-C")
	flags.BoolVar(&options.UI, "ui", false, "no steps: keep a sample migration running to look at in a browser, until Ctrl-C")
	flags.BoolVar(&options.Fast, "fast", false, "watch fewer requests per step")
	flags.StringVar(&options.Record, "record", "", "write a recording of all steps to this file, as SVG")
	flags.StringVar(&options.Nginx, "nginx", "nginx", "nginx binary")
	environmentOf(flags, "nginx")
	return cmd
}
