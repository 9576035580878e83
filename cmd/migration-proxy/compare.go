package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	clicompare "github.com/migration-proxy/migration-proxy/internal/cli/compare"
	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/migration"
)

type compareOptions struct {
	config, paths, log, output, nginx, scheme string
	skip, headers                             []string
	rate, match                               float64
	variants, asOldHost                       bool
	wait                                      time.Duration
	cluster                                   clusterOptions
	proxy                                     proxyOption
}

func newCompare() *cobra.Command {
	var options compareOptions
	cmd := &cobra.Command{
		Use:   "compare SERVICE",
		Short: "Ask old and new the same requests, and show in what they differ",
		Long: `Ask old, new, and old again the same requests, and show in what new differs:
status, redirects, headers, cookies, content, and time. What old does not
answer twice alike is noise. Each difference has a cause, and a way out.

The requests are the paths of --paths, one a line, or those of an access log:
up to 20 different ones of each route. Only GET and HEAD are asked, without a
body and without the cookies and credentials of clients. GETs that change
something exist: paths with logout, signout, unsubscribe, token= and the like
are left out, and --skip adds more. The result says what was left out.

With --header both sides get what you say, such as the cookie of an account for
tests. What a GET of that account changes is then changed on both, repeatedly.

Without --paths and --from-log it prints what the running proxies have found, of
a service with compare: {continuous: true}: in the last hour, or with --for in
that time from now on. With --http it asks one proxy.

With --local-config an nginx of this command's own asks, with the config and
without ports, so that both sides get what they get from the proxy: Host, TLS,
timeouts, headers and translation. Run it where the backends can be reached.`,
		Example: `  migration-proxy compare shop --for 10m --match 99.5
  migration-proxy compare shop --local-config migration.yaml --paths paths.txt
  migration-proxy compare shop --local-config migration.yaml --from-log access.log --match 99.5
  migration-proxy compare shop --local-config migration.yaml --paths - -o json
  migration-proxy compare shop --local-config migration.yaml --paths paths.txt --header @session.txt`,
		Args: exactly("SERVICE"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 || options.config == "" || fromEnvironment(cmd) != nil {
				return nil, noFiles
			}
			return servicesOfFile(cmd, options.config), noFiles
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runCompare(cmd, args[0], options) },
	}
	options.flags(cmd)
	return cmd
}

func (o *compareOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.config, "local-config", "", "the migration config")
	flags.StringVar(&o.paths, "paths", "", "file with one path a line; - for standard input")
	flags.StringVar(&o.log, "from-log", "", "access log of this proxy, of nginx or of an ingress controller; - for standard input")
	flags.StringArrayVar(&o.skip, "skip", nil, "paths that are not asked, * is any text; may be repeated")
	flags.StringArrayVar(&o.headers, "header", nil, "'Name: value' that both sides get with each request, or @FILE with one a line; may be repeated")
	flags.StringVar(&o.scheme, "scheme", "https", "what clients use: https or http")
	flags.Float64Var(&o.rate, "rate", 5, "samples a second, each of three to six requests")
	flags.BoolVar(&o.variants, "variants", false, "also ask each path with another slash at the end, in capitals, with //, and one below it")
	flags.BoolVar(&o.asOldHost, "as-old-host", false, "ask new with old_host as Host and server name, as when DNS leads to it")
	flags.Float64Var(&o.match, "match", 0, "end with exit code 1 if both sides answer alike on less than so many percent")
	flags.StringVarP(&o.output, "output", "o", "table", "table or json")
	flags.StringVar(&o.nginx, "nginx", "nginx", "nginx binary")
	flags.DurationVar(&o.wait, "for", 0, "wait so long, and print what running proxies find meanwhile")
	environmentOf(flags, "local-config", "nginx")
	o.cluster.flags(cmd)
	o.proxy.flag(cmd)
	completeWords(cmd, "output", "table", "json")
	completeWords(cmd, "scheme", "https", "http")
}

func (o *compareOptions) check() error {
	if err := oneOf("output", o.output, "table", "json"); err != nil {
		return err
	}
	if err := oneOf("scheme", o.scheme, "https", "http"); err != nil {
		return err
	}
	switch {
	case o.wait < 0 || o.wait > time.Hour:
		return wrongUsage("--for %s: use up to 1h, as long as proxies remember", o.wait)
	case o.match < 0 || o.match > 100:
		return wrongUsage("--match %g: use 0 to 100", o.match)
	case o.running() && len(o.headers) > 0:
		return wrongUsage("--header is for --paths and --from-log: running proxies send no cookies or credentials")
	case o.running():
		return nil
	case o.wait > 0:
		return wrongUsage("--for is for running proxies, which find the requests themselves")
	case o.config == "":
		return wrongUsage("name the migration config with --local-config")
	case (o.paths == "") == (o.log == ""):
		return wrongUsage("name the requests with --paths or --from-log, one of them")
	case o.config == "-" && (o.paths == "-" || o.log == "-"):
		return wrongUsage("the config and the requests cannot both be standard input")
	case o.rate <= 0 || o.rate > 1000:
		return wrongUsage("--rate %g: use a number above 0, up to 1000", o.rate)
	}
	return nil
}

func runCompare(cmd *cobra.Command, name string, options compareOptions) error {
	service, err := migration.ParseName(name)
	if err != nil {
		return usageError{err}
	}
	if err := options.check(); err != nil {
		return err
	}
	result, err := options.compare(cmd, service)
	if err != nil {
		return err
	}
	if err := result.Write(cmd.OutOrStdout(), clicompare.Format(options.output)); err != nil {
		return err
	}
	return result.CheckMatch(options.match)
}

// running tells whether running proxies have what is asked for.
func (o *compareOptions) running() bool { return o.config == "" && o.paths == "" && o.log == "" }

func (o *compareOptions) compare(cmd *cobra.Command, service migration.Name) (clicompare.Result, error) {
	if !o.running() {
		return o.offline(cmd, service)
	}
	if cmd.Flags().Changed("http") {
		proxy, err := o.proxy.proxy()
		if err != nil {
			return clicompare.Result{}, err
		}
		return clicompare.Running(cmd.Context(), clicompare.OneProxy{Proxy: proxy}, service, o.wait)
	}
	in, err := o.cluster.installation("ask one proxy with --http localhost:8080, or compare without any: --local-config and --paths")
	if err != nil {
		return clicompare.Result{}, err
	}
	return clicompare.Running(cmd.Context(), clicompare.InCluster{Installation: in}, service, o.wait)
}

func (o *compareOptions) offline(cmd *cobra.Command, service migration.Name) (clicompare.Result, error) {
	table, err := configfile.Load(o.config, cmd.InOrStdin())
	if err != nil {
		return clicompare.Result{}, err
	}
	offline := clicompare.Offline{
		Table: table, Service: service, Skip: o.skip, Nginx: o.nginx, Scheme: o.scheme,
		Rate: o.rate, Variants: o.variants, AsOldHost: o.asOldHost,
	}
	if offline.Headers, err = clicompare.ParseHeaders(o.headers); err != nil {
		return clicompare.Result{}, usageError{fmt.Errorf("--header: %w", err)}
	}
	source, err := openInput(o.paths+o.log, cmd.InOrStdin())
	if err != nil {
		return clicompare.Result{}, err
	}
	defer func() { _ = source.Close() }() // only read
	if o.log != "" {
		offline.Log = source
	} else {
		offline.Paths = source
	}
	return offline.Compare(cmd.Context())
}

// openInput opens a file, or standard input for "-".
func openInput(path string, stdin io.Reader) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(stdin), nil
	}
	return os.Open(path)
}
