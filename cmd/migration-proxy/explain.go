package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"text/tabwriter"

	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/spf13/cobra"
)

// question is a request as it is described on the command line.
type question struct {
	host, path      string
	headers         []string // NAME=VALUE
	cookies         []string // NAME=VALUE
	forwardedFor    string
	ip              string
	requestID       string
	direct, tripped bool
}

func newExplain() *cobra.Command {
	var asked question
	var where clusterOptions
	var output string
	cmd := &cobra.Command{
		Use:   "explain [FILE] --host HOST",
		Short: "Say which side would get a request, and why",
		Long: `Say which side would get a request, and why. This is the decision that nginx
takes, computed from FILE, or without one from the cluster's ConfigMap: nothing
is sent, and no proxy is asked.

A request that no service is meant for is explained too: it gets 400, 404 or
421. The exit code is then still 0: the question has been answered.`,
		Example: `  migration-proxy explain migration.yaml --host api.example.com --path /orders
  migration-proxy explain --host api.example.com --header X-User-ID=alice
  migration-proxy explain migration.yaml --host api.example.com --ip 10.1.2.3 -o json`,
		Args:              atMost("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf("output", output, "text", "json"); err != nil {
				return err
			}
			return explain(cmd, asked, output, func() (*migration.Table, error) { return givenTable(cmd, args, where) })
		},
	}
	asked.flags(cmd)
	where.flags(cmd)
	must(cmd.RegisterFlagCompletionFunc("host", func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if fromEnvironment(cmd) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return oldHosts(cmd, args, where), cobra.ShellCompDirectiveNoFileComp
	}))
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	completeWords(cmd, "output", "text", "json")
	return cmd
}

func (q *question) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&q.host, "host", "", "Host header (needed)")
	flags.StringVar(&q.path, "path", "/", "path, with query if you like")
	flags.StringArrayVar(&q.headers, "header", nil, "request header NAME=VALUE; may be repeated")
	flags.StringArrayVar(&q.cookies, "cookie", nil, "cookie NAME=VALUE; may be repeated")
	flags.StringVar(&q.ip, "ip", "", "address that the request comes from")
	flags.StringVar(&q.forwardedFor, "forwarded-for", "", "X-Forwarded-For, believed if --ip is a trusted proxy")
	flags.StringVar(&q.requestID, "request-id", "", "nginx's $request_id, which is the dice of strategy weight")
	flags.BoolVar(&q.direct, "direct", false, "came in on the always-new listener")
	flags.BoolVar(&q.tripped, "tripped", false, "as if the service's fallback had tripped")
}

func oldHosts(cmd *cobra.Command, args []string, where clusterOptions) []string {
	table, err := givenTable(cmd, args, where)
	if err != nil {
		return nil
	}
	var hosts []string
	for _, service := range table.Services() {
		hosts = append(hosts, string(service.OldHost))
	}
	return hosts
}

func explain(cmd *cobra.Command, asked question, output string, load func() (*migration.Table, error)) error {
	header, err := asked.header()
	if err != nil {
		return err
	}
	peer, err := asked.peer()
	if err != nil {
		return err
	}
	table, err := load()
	if err != nil {
		return err
	}
	forwarded := strings.Join(header.Values("X-Forwarded-For"), ", ")
	client := migration.ClientAddress(peer, forwarded, table.Global().TrustedProxies)
	decision := table.Decide(migration.Request{
		Host: asked.host, Target: asked.path, Header: migration.FoldHeaders(header, true),
		Client: client, Dice: asked.requestID, Direct: asked.direct, Tripped: asked.tripped,
	})
	answer := newAnswer(decision, client)
	if output == "json" {
		return answer.json(cmd.OutOrStdout())
	}
	noteRepeated(cmd.ErrOrStderr(), header)
	return answer.text(cmd.OutOrStdout())
}

// header is what the flags say, as a server would have received it.
func (q question) header() (http.Header, error) {
	if q.host == "" {
		return nil, wrongUsage("--host is missing: the Host header decides which service is meant")
	}
	header := http.Header{}
	for _, text := range q.headers {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, wrongUsage("--header %q: write NAME=VALUE", text)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	for _, text := range q.cookies {
		if name, _, ok := strings.Cut(text, "="); !ok || name == "" {
			return nil, wrongUsage("--cookie %q: write NAME=VALUE", text)
		}
		header.Add("Cookie", text)
	}
	if q.forwardedFor != "" {
		header.Add("X-Forwarded-For", q.forwardedFor)
	}
	return header, nil
}

func (q question) peer() (netip.Addr, error) {
	if q.ip == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(q.ip)
	if err != nil {
		return netip.Addr{}, wrongUsage("--ip %q: write an address like 10.1.2.3 or 2001:db8::1", q.ip)
	}
	return addr.Unmap(), nil
}

func noteRepeated(w io.Writer, header http.Header) {
	for name, values := range header {
		if len(values) > 1 && name != "Cookie" {
			fmt.Fprintf(w, "note: %s is repeated: read as %q; nginx before 1.23 reads the first alone\n",
				name, strings.Join(values, ", "))
		}
	}
}

// answer is a decision as it is printed. Field names are an interface.
type answer struct {
	Service string  `json:"service,omitempty"`
	Side    string  `json:"side,omitempty"` // "" when no service is meant
	Open    bool    `json:"open"`           // the dice decide: side is the likelier one
	Reason  string  `json:"reason"`
	Text    string  `json:"text"`
	Bucket  *int    `json:"bucket,omitempty"` // 0 to 9999, if one was looked at
	Share   float64 `json:"share_percent"`
	Client  string  `json:"client,omitempty"`

	share migration.Share
}

func newAnswer(d migration.Decision, client netip.Addr) answer {
	a := answer{Side: string(d.Side), Open: d.Open, Reason: d.Reason.String(), Text: d.Reason.Text}
	if d.Service != nil {
		a.Service, a.share = string(d.Service.Name), d.Service.EffectiveShare()
		a.Share = a.share.Percent()
	}
	if d.Bucket >= 0 {
		bucket := int(d.Bucket)
		a.Bucket = &bucket
	}
	if client.IsValid() {
		a.Client = client.String()
	}
	return a
}

func (a answer) json(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(a)
}

func (a answer) text(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "%s\t%s\n", name, value) }
	switch {
	case a.Service == "":
		row("side", "none")
	case a.Open:
		row("side", fmt.Sprintf("open: new for %s %% of such requests (--request-id throws the dice)", a.share))
	default:
		row("side", a.Side)
	}
	if a.Service != "" {
		row("service", a.Service)
	}
	row("reason", a.Reason+": "+a.Text)
	if a.Bucket != nil {
		row("bucket", fmt.Sprintf("%d of 0 to 9999", *a.Bucket))
		row("share", fmt.Sprintf("%s %%: buckets below %d go to new", a.share, a.share))
	}
	if a.Client != "" {
		row("client", a.Client)
	}
	return table.Flush()
}
