package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/spf13/cobra"
	"gopkg.in/yaml.v3"
)

type statusOptions struct {
	proxyClient
	cluster         clusterOptions
	output, service string
	watch           time.Duration
}

// statusReport is a status as a document and as a page for people.
type statusReport struct {
	document []byte // JSON
	page     page
}

func newStatus() *cobra.Command {
	var options statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is served and how both sides do",
		Long: `Show what is served and how both sides do: the desired and the observed share,
the phase, and for old and new over the last minute the requests per second,
the part that failed, and the latency (median and 99th percentile).

All replicas of the cluster are asked, with your own rights, by way of the API
server: OBSERVED has each replica's share, the other figures are sums, means
by traffic, and the worst P99. With --http one proxy is asked, and no cluster.`,
		Example: `  migration-proxy status
  migration-proxy status --service api-name01 -o wide --watch
  migration-proxy status --http localhost:8080 -o json | jq .config.digest`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return showStatus(cmd, options) },
	}
	options.proxyClient.flags(cmd)
	options.cluster.flags(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&options.output, "output", "o", "table", "table, wide, json or yaml")
	flags.StringVar(&options.service, "service", "", "show this service only")
	flags.DurationVar(&options.watch, "watch", 0, "show it again and again, every 2s or --watch=INTERVAL")
	flags.Lookup("watch").NoOptDefVal = "2s"
	completeWords(cmd, "output", "table", "wide", "json", "yaml")
	must(cmd.RegisterFlagCompletionFunc("service", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return options.servedNames(cmd), cobra.ShellCompDirectiveNoFileComp
	}))
	return cmd
}

// servedNames are those of the services, for completion.
func (o *statusOptions) servedNames(cmd *cobra.Command) []string {
	if fromEnvironment(cmd) != nil {
		return nil
	}
	if !cmd.Flags().Changed("http") {
		return liveNames(cmd, o.cluster)
	}
	now, _, err := o.status(cmd.Context())
	if err != nil {
		return nil
	}
	var names []string
	for _, service := range now.Services {
		names = append(names, service.Name)
	}
	return names
}

func showStatus(cmd *cobra.Command, options statusOptions) error {
	if err := oneOf("output", options.output, "table", "wide", "json", "yaml"); err != nil {
		return err
	}
	ask := options.askOne
	if !cmd.Flags().Changed("http") {
		found, err := options.cluster.ask("ask one proxy with --http localhost:8080")
		if err != nil {
			return err
		}
		ask = func(ctx context.Context) (statusReport, error) { return askAll(ctx, found, options.service) }
	}
	if options.watch == 0 {
		return options.show(cmd.Context(), cmd.OutOrStdout(), ask)
	}
	if options.watch < 100*time.Millisecond {
		return wrongUsage("--watch %s: at least 100ms", options.watch)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return options.follow(ctx, cmd.OutOrStdout(), ask)
}

// asker gives the status as it is now.
type asker func(context.Context) (statusReport, error)

// follow shows the status until it is interrupted. A proxy that does not
// answer is said and asked again: it may be starting.
func (o *statusOptions) follow(ctx context.Context, w io.Writer, ask asker) error {
	tick := time.NewTicker(o.watch)
	defer tick.Stop()
	for {
		var page bytes.Buffer
		if err := o.show(ctx, &page, ask); err != nil && ctx.Err() == nil {
			fmt.Fprintln(&page, err)
		}
		if _, err := fmt.Fprintf(w, "%s%s\n", clearScreen(w), page.Bytes()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// clearScreen is what empties a terminal, and nothing for a file or pipe.
func clearScreen(w io.Writer) string {
	file, ok := w.(*os.File)
	if !ok {
		return ""
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return ""
	}
	return "\033[H\033[2J"
}

func (o *statusOptions) show(ctx context.Context, w io.Writer, ask asker) error {
	now, err := ask(ctx)
	if err != nil {
		return err
	}
	switch o.output {
	case "json":
		return printJSON(w, now.document)
	case "yaml":
		return printYAML(w, now.document)
	}
	return now.page.print(w, o.output == "wide")
}

// askOne asks the proxy that --http names.
func (o *statusOptions) askOne(ctx context.Context) (statusReport, error) {
	now, text, err := o.status(ctx)
	if err != nil {
		return statusReport{}, err
	}
	if o.service != "" {
		if text, err = o.narrow(&now); err != nil {
			return statusReport{}, err
		}
	}
	return statusReport{text, pageOf(now)}, nil
}

// narrow keeps the one service that was asked for.
func (o *statusOptions) narrow(now *status.Status) ([]byte, error) {
	now.Services = slices.DeleteFunc(now.Services, func(s status.Service) bool { return s.Name != o.service })
	if len(now.Services) == 0 {
		return nil, fmt.Errorf("the proxy serves no service %q; 'migration-proxy status' lists them", o.service)
	}
	return json.Marshal(now)
}

func printJSON(w io.Writer, text []byte) error {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(text), "", "  "); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	_, err := fmt.Fprintln(w, out.String())
	return err
}

// printYAML keeps the order of the fields: JSON is YAML, only its style
// changes.
func printYAML(w io.Writer, text []byte) error {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("print status: %w", err)
	}
	plain(&document)
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	return errors.Join(encoder.Encode(&document), encoder.Close())
}

func plain(node *yaml.Node) {
	node.Style = 0
	for _, child := range node.Content {
		plain(child)
	}
}
