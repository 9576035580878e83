package explain

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Answer is a decision as it is printed. The JSON field names are an interface.
type Answer struct {
	Service string  `json:"service,omitempty"` // "" when the request belongs to none
	Side    string  `json:"side,omitempty"`    // old or new; "" without a service
	Open    bool    `json:"open"`              // the request ID decides, and it is not known: Side is the likelier one
	Reason  string  `json:"reason"`            // a constant word, with an index for rules
	Text    string  `json:"text"`              // the reason as a sentence
	Bucket  *int    `json:"bucket,omitempty"`  // 0 to 9999, if the percentage decides
	Share   float64 `json:"share_percent"`
	Client  string  `json:"client,omitempty"` // the address that rules are applied to
	Loose   bool    `json:"loose,omitempty"`  // no path_prefix covers the path, and one matched its beginning without case

	share migration.Share
}

func newAnswer(d migration.Decision, client netip.Addr) Answer {
	a := Answer{Side: string(d.Side), Open: d.Open, Reason: d.Reason.String(), Text: d.Reason.Text, Loose: d.Loose}
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

// JSON prints the answer for programs.
func (a Answer) JSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(a)
}

// Table prints the answer for people, one line per fact.
func (a Answer) Table(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "side\t%s\n", a.SideText())
	if a.Service != "" {
		fmt.Fprintf(table, "service\t%s\n", a.Service)
	}
	if a.Loose {
		fmt.Fprintln(table, "path\tmatched loosely: no path_prefix covers it, and this service's is how it begins, upper and lower case alike")
	}
	fmt.Fprintf(table, "reason\t%s: %s\n", a.Reason, a.Text)
	if a.Bucket != nil {
		fmt.Fprintf(table, "bucket\t%d of 0 to 9999\n", *a.Bucket)
		fmt.Fprintf(table, "share\t%s %%: buckets below %d go to new\n", a.share, a.share)
	}
	if a.Client != "" {
		fmt.Fprintf(table, "client\t%s\n", a.Client)
	}
	return table.Flush()
}

// SideText is old, new or none, or that the likelier side is open.
func (a Answer) SideText() string {
	switch {
	case a.Service == "":
		return "none"
	case a.Open:
		return fmt.Sprintf("open: new for %s %% of such requests", a.share)
	}
	return a.Side
}
