package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/explain"
	"github.com/migration-proxy/migration-proxy/internal/cli/ramps"
	"github.com/migration-proxy/migration-proxy/migration"
)

type explainOptions struct {
	question explain.Question
	cluster  clusterOptions // of the ConfigMap, without FILE
	output   string
}

func newExplain() *cobra.Command {
	var options explainOptions
	cmd := &cobra.Command{
		Use:   "explain [FILE] --host HOST",
		Short: "Say which side would get a request, and why",
		Long: `Say which side would get a request, and why. This is the decision that nginx
takes, computed from FILE, or without FILE from the cluster's ConfigMap and the
positions of its ramps. The command sends no request and asks no proxy.

A request that belongs to no service is explained too: it gets 400, 404 or 421.
The exit code is 0 then as well.`,
		Example: `  migration-proxy explain migration.yaml --host api.example.com --path /orders
  migration-proxy explain --host api.example.com --header X-User-ID=alice
  migration-proxy explain migration.yaml --host api.example.com --ip 10.1.2.3 -o json`,
		Args:              atMost("FILE"),
		ValidArgsFunction: completeFile,
		RunE:              func(cmd *cobra.Command, args []string) error { return runExplain(cmd, args, options) },
	}
	options.flags(cmd)
	return cmd
}

func (o *explainOptions) flags(cmd *cobra.Command) {
	q, flags := &o.question, cmd.Flags()
	flags.StringVar(&q.Host, "host", "", "Host header (required)")
	flags.StringVar(&q.Path, "path", "/", "path, and query if any")
	flags.StringArrayVar(&q.Headers, "header", nil, "request header NAME=VALUE; may be repeated")
	flags.StringArrayVar(&q.Cookies, "cookie", nil, "cookie NAME=VALUE; may be repeated")
	flags.StringVar(&q.IP, "ip", "", "address that the request comes from")
	flags.StringVar(&q.ForwardedFor, "forwarded-for", "", "X-Forwarded-For; used if --ip is a trusted proxy")
	flags.BoolVar(&q.Direct, "direct", false, "the request comes in on the always-new listener")
	flags.BoolVar(&q.Tripped, "tripped", false, "as if the service's fallback had tripped")
	flags.StringVarP(&o.output, "output", "o", "text", "text or json")
	o.cluster.flags(cmd)
	completeWords(cmd, "output", "text", "json")
	must(cmd.RegisterFlagCompletionFunc("host", o.completeHost))
}

func (o *explainOptions) completeHost(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if fromEnvironment(cmd) != nil {
		return nil, noFiles
	}
	return hosts(cmd, args, o.cluster), noFiles
}

// tableInForce is the table with the shares that ramps have reached. Those of a FILE
// are not known, and not to everybody those of the cluster.
func (o *clusterOptions) tableInForce(cmd *cobra.Command, args []string) (*migration.Table, error) {
	if len(args) > 0 {
		return configfile.Load(args[0], cmd.InOrStdin())
	}
	in, err := o.installation("name a FILE")
	if err != nil {
		return nil, err
	}
	table, err := in.Table(cmd.Context())
	if err != nil {
		return nil, err
	}
	inForce, err := ramps.InCluster{Installation: in}.InForce(cmd.Context(), table)
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "the positions of ramps are not counted, only the percentages: %v\n", err)
		return table, nil
	}
	return inForce, nil
}

func runExplain(cmd *cobra.Command, args []string, options explainOptions) error {
	if err := oneOf("output", options.output, "text", "json"); err != nil {
		return err
	}
	request, err := explain.Parse(options.question)
	if err != nil {
		return usageError{err}
	}
	table, err := options.cluster.tableInForce(cmd, args)
	if err != nil {
		return err
	}
	answer := request.Decide(table)
	if options.output == "json" {
		return answer.JSON(cmd.OutOrStdout())
	}
	for _, note := range request.Notes(table) {
		fmt.Fprintln(cmd.ErrOrStderr(), note)
	}
	return answer.Table(cmd.OutOrStdout())
}
