package main

import (
	"errors"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/finish"
	clifinish "github.com/migration-proxy/migration-proxy/internal/cli/finish"
	"github.com/migration-proxy/migration-proxy/migration"
)

type finishOptions struct {
	proxyOption
	migrationPlace
	output           string
	watch            time.Duration // 0: once
	check            clifinish.Options
	target           finish.Target
	gateway, backend string
}

func newFinish() *cobra.Command {
	var options finishOptions
	cmd := &cobra.Command{
		Use:   "finish SERVICE",
		Short: "Show whether a migration can end, and what is missing",
		Long: `Show whether a migration can end, and what is missing. It changes nothing. New
is asked under old_host and under new_host, with GET and without cookies; name
servers are asked for the records of old_host.

  [x]  done
  [ ]  not done: the line has the reason, and what to do
  [?]  not known: the line says how to find out

The exit code is 0 when everything is done. Then switch the DNS record and
follow with --watch what still arrives at the old cluster: it ends with 0 when
nothing has for the time --quiet.

With -o httproute, ingress, certificate or dnsendpoint it prints an object for
the new cluster. What that cannot say is a comment, and the exit code is 3.`,
		Example: `  migration-proxy finish shop --path /login --path /cart
  migration-proxy finish shop -o httproute --gateway infra/gw --backend web:80
  migration-proxy finish shop -o ingress --ingress-class nginx --backend web:80
  migration-proxy finish shop --watch`,
		Args:              exactly("SERVICE"),
		ValidArgsFunction: options.completeService,
		RunE:              func(cmd *cobra.Command, args []string) error { return runFinish(cmd, args[0], options) },
	}
	options.flags(cmd)
	return cmd
}

func (o *finishOptions) flags(cmd *cobra.Command) {
	o.proxyOption.flag(cmd)
	o.migrationPlace.flags(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "table", "table, json, httproute, ingress, certificate or dnsendpoint")
	flags.DurationVar(&o.check.Quiet, "quiet", 24*time.Hour, "how long all must be at new without a trip; with --watch: without a request at old")
	flags.StringArrayVar(&o.check.Paths, "path", nil, "a path to ask new for; may be repeated")
	flags.StringVar(&o.check.Host, "host", "", "a host of a wildcard old_host")
	flags.StringVar(&o.check.NewAddress, "new-address", "", "HOST:PORT where clients will reach new, if not new_backend")
	flags.StringVar(&o.check.CAFile, "ca-file", "", "root certificates in PEM that clients trust besides the system's")
	flags.StringVar(&o.check.DNSServer, "dns-server", "", "name server to ask, such as one of the zone, if not this machine's")
	flags.StringVar(&o.check.TXTPrefix, "txt-prefix", "", "--txt-prefix of external-dns")
	flags.DurationVar(&o.watch, "watch", 0, "show what still arrives, every 10s or --watch=INTERVAL")
	flags.Lookup("watch").NoOptDefVal = "10s"
	flags.StringVar(&o.target.Namespace, "target-namespace", "", "namespace of the printed object")
	flags.StringVar(&o.gateway, "gateway", "", "NAMESPACE/NAME[/SECTION] of the new cluster's Gateway")
	flags.StringVar(&o.backend, "backend", "", "NAME:PORT of the new cluster's Service")
	flags.StringVar(&o.target.Class, "ingress-class", "", "IngressClass of the new cluster")
	flags.StringVar(&o.target.Issuer, "issuer", "", "ClusterIssuer of the new cluster that uses DNS-01")
	flags.StringVar(&o.target.Address, "address", "", "name or address that old_host will lead to, if not that of new_backend")
	completeWords(cmd, "output", "table", "json", "httproute", "ingress", "certificate", "dnsendpoint")
}

func runFinish(cmd *cobra.Command, service string, options finishOptions) error {
	if err := oneOf("output", options.output, "table", "json", "httproute", "ingress", "certificate", "dnsendpoint"); err != nil {
		return err
	}
	name, err := migration.ParseName(service)
	if err != nil {
		return usageError{err}
	}
	if err := options.parse(); err != nil {
		return err
	}
	options.check.Service = name
	source, err := options.source()
	if err != nil {
		return err
	}
	switch {
	case options.watch != 0:
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return clifinish.Watch(ctx, cmd.OutOrStdout(), source, options.check, options.watch)
	case options.output == "table" || options.output == "json":
		return clifinish.Show(cmd.Context(), cmd.OutOrStdout(), source, options.check, clifinish.Format(options.output))
	}
	err = clifinish.Manifest(cmd.Context(), cmd.OutOrStdout(), source, clifinish.ManifestRequest{
		Service: name, Kind: finish.Kind(options.output), Target: options.target,
	})
	if errors.Is(err, clifinish.ErrUnsaid) {
		return incompleteError{err}
	}
	return err
}

// shortestWatch spares the replicas.
const shortestWatch = time.Second

func (o *finishOptions) parse() error {
	if o.watch != 0 && o.watch < shortestWatch {
		return wrongUsage("--watch %s: at least %s", o.watch, shortestWatch)
	}
	if o.check.Quiet < 0 {
		return wrongUsage("--quiet %s: a time, such as 24h", o.check.Quiet)
	}
	for _, path := range o.check.Paths {
		if !strings.HasPrefix(path, "/") {
			return wrongUsage("--path %q: begin it with /", path)
		}
	}
	if parts := strings.Split(o.gateway, "/"); o.gateway != "" {
		if len(parts) < 2 || len(parts) > 3 {
			return wrongUsage("--gateway %q: write NAMESPACE/NAME or NAMESPACE/NAME/SECTION", o.gateway)
		}
		o.target.Gateway = finish.ObjectID{Namespace: parts[0], Name: parts[1]}
		o.target.Section = strings.Join(parts[2:], "")
	}
	if o.backend != "" {
		name, port, _ := strings.Cut(o.backend, ":")
		number, err := strconv.ParseInt(port, 10, 32)
		if err != nil || name == "" || number < 1 || number > 65535 {
			return wrongUsage("--backend %q: write NAME:PORT", o.backend)
		}
		o.target.Backend, o.target.Port = name, int32(number)
	}
	return nil
}

// source is one proxy with --local-config, else the cluster.
func (o *finishOptions) source() (clifinish.Source, error) {
	in, err := o.installation()
	switch {
	case err != nil:
		return nil, err
	case in != nil:
		return clifinish.InCluster{Installation: in}, nil
	}
	proxy, err := o.proxy()
	return clifinish.Local{File: o.file, RuntimeDir: o.runtimeDir, Proxy: proxy}, err
}
