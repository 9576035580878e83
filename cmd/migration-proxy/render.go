package main

import (
	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/render"
	"github.com/migration-proxy/migration-proxy/nginxgen"
)

type renderOptions struct {
	listeners
	render       render.Options
	version, dir string
}

func newRender() *cobra.Command {
	var options renderOptions
	cmd := &cobra.Command{
		Use:   "render FILE|-",
		Short: "Print the nginx config that a migration config becomes",
		Long: `Print the nginx config that a migration config becomes.

The text depends on FILE and the flags only. The name of a backend is not looked
up: an address from 2001:db8::/32, the range for documentation, stands for it,
and standard error says which address stands for which name. With --resolve
names are looked up on this machine, and a backend without an address is marked
down, as in the proxy. Shares are not in the text: they are files beside it,
which change without a reload.`,
		Example: `  migration-proxy render migration.yaml | less
  migration-proxy render migration.yaml --dir /tmp/rendered --nginx-version 1.30.4`,
		Args:              exactly("FILE"),
		ValidArgsFunction: completeFile,
		RunE:              func(cmd *cobra.Command, args []string) error { return runRender(cmd, args[0], options) },
	}
	options.listeners.flags(cmd)
	flags := cmd.Flags()
	flags.StringVar(&options.dir, "dir", "", "write nginx.conf into this folder instead")
	flags.StringVar(&options.version, "nginx-version", "1.22.1", "version of nginx to write for")
	flags.StringVar(&options.render.RuntimeDir, "runtime-dir", "/run/migration-proxy", "runtime directory of that nginx")
	flags.StringVar(&options.render.CAFile, "ca-file", "/etc/ssl/certs/ca-certificates.crt", "the system's trusted certificates")
	flags.BoolVar(&options.render.Resolve, "resolve", false, "look names up")
	flags.BoolVar(&options.render.BehindControllers, "behind-controllers", false, "write for a proxy in a cluster, which leaves headers about the client to the ingress controllers")
	return cmd
}

func runRender(cmd *cobra.Command, file string, options renderOptions) (err error) {
	options.render.Listen, options.render.ListenNew, options.render.ListenGRPC = options.listen, options.listenNew, options.listenGRPC
	if options.render.Version, err = nginxgen.ParseVersion("nginx/" + options.version); err != nil {
		return wrongUsage("--nginx-version %q: write it like 1.22.1", options.version)
	}
	table, err := configfile.Load(file, cmd.InOrStdin())
	if err != nil {
		return err
	}
	text, err := render.Generate(cmd.Context(), table, options.render, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if options.dir != "" {
		return render.WriteFile(options.dir, text)
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}
