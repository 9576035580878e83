package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/validate"
)

type validateOptions struct {
	proxyOption // that tells the rates for a FILE
	cluster     clusterOptions
}

func newValidate() *cobra.Command {
	var options validateOptions
	cmd := &cobra.Command{
		Use:   "validate [FILE|-]",
		Short: "Check a migration config",
		Long: `Check a migration config: FILE, or without FILE the cluster's ConfigMap. The
command prints nothing when all is well. Otherwise it prints every problem on
standard error, as file:line:col: path: what is wrong, and the exit code is 1.
A note says what is allowed and may surprise.

Steps of a ramp that cannot be judged are such notes: some in every config, and
those that would need more than a day at the requests per second that the
service got in the last minute. These the replicas of the cluster tell, or for
FILE the proxy at --http, if you name it.`,
		Example: `  migration-proxy validate migration.yaml
  migration-proxy validate migration.yaml --http localhost:8080
  migration-proxy validate                 # what the cluster has now`,
		Args:              atMost("FILE"),
		ValidArgsFunction: completeFile,
		RunE:              func(cmd *cobra.Command, args []string) error { return runValidate(cmd, args, options) },
	}
	options.proxyOption.flag(cmd)
	options.cluster.flags(cmd)
	return cmd
}

func runValidate(cmd *cobra.Command, args []string, options validateOptions) error {
	name, text, rates, err := options.read(cmd, args)
	if err != nil {
		return err
	}
	notes, err := validate.Notes(cmd.Context(), name, text, rates)
	for _, note := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "note:", note)
	}
	return err
}

// read gives the config, and who tells how many requests its services get; nil: nobody.
func (o *validateOptions) read(cmd *cobra.Command, args []string) (name string, text []byte, rates validate.Rates, err error) {
	if len(args) == 0 {
		in, err := o.cluster.installation("name a FILE")
		if err != nil {
			return "", nil, nil, err
		}
		now, err := in.Config(cmd.Context())
		return now.Name, now.Text, validate.OfCluster(in), err
	}
	if cmd.Flags().Changed("http") {
		proxy, err := o.proxy()
		if err != nil {
			return "", nil, nil, err
		}
		rates = validate.OfProxy(proxy)
	}
	name, text, err = configfile.Read(args[0], cmd.InOrStdin())
	return name, text, rates, err
}
