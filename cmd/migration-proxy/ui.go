package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/ui"
)

func newUI() *cobra.Command {
	var cluster clusterOptions
	var options ui.Options
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Show what is served, and how both sides do, in a browser",
		Long: `Serve a page for a browser on this machine: what is served and how both sides
do, what needs a person, six hours of history, the journal, and why a request
goes where it goes. It is live, and changes nothing.

The command asks the cluster as 'status' does, with your own rights, while
somebody looks at the page. It listens on 127.0.0.1; the address that it prints
is a secret of this run, because other users of this machine reach the same
port. For one proxy without a cluster, open its HTTP address in a browser.`,
		Example: `  migration-proxy ui
  migration-proxy ui --open
  migration-proxy ui --context production --port 9000`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if options.Port < 0 || options.Port > 65535 {
				return wrongUsage("--port %d: use 0 for any free port, or a number up to 65535", options.Port)
			}
			in, err := cluster.installation("open the HTTP address of one proxy in a browser")
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return ui.Serve(ctx, cmd.OutOrStdout(), in, options)
		},
	}
	cluster.flags(cmd)
	cmd.Flags().IntVar(&options.Port, "port", 0, "port on 127.0.0.1; 0 is any free one")
	cmd.Flags().BoolVar(&options.Open, "open", false, "open the page in your browser")
	return cmd
}
