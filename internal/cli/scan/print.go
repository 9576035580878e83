package scan

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/migration-proxy/migration-proxy/scan"
)

func writeJSON(w io.Writer, result scan.Result) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// row is a line of both tables: one path, or an Ingress without paths.
type row struct {
	ingress, path, backend string
	verdict                scan.Verdict
	reason                 string
}

func rowsOf(result scan.Result) []row {
	var rows []row
	for _, ingress := range result.Ingresses {
		name := ingress.Namespace + "/" + ingress.Name
		for _, path := range ingress.Paths {
			rows = append(rows, row{name, cmp.Or(path.Host, "*") + path.Path, cmp.Or(path.Backend, "-"), path.Verdict, strings.Join(path.Reasons, "; ")})
		}
		if len(ingress.Paths) == 0 {
			rows = append(rows, row{name, "-", "-", ingress.Verdict, ingress.Reason})
		}
	}
	return rows
}

func writeTable(w io.Writer, result scan.Result) error {
	var text bytes.Buffer
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "INGRESS\tPATH\tBACKEND\tVERDICT\tREASON")
	for _, r := range rowsOf(result) {
		fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\n", r.ingress, r.path, r.backend, r.verdict, cmp.Or(r.reason, "-"))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(&text)
	for _, line := range summary(result) {
		fmt.Fprintln(&text, line)
	}
	_, err := w.Write(text.Bytes())
	return err
}

// summary is what both tables say after the rows.
func summary(result scan.Result) []string {
	totals := result.Totals
	lines := []string{
		fmt.Sprintf("%d Ingresses: %s", len(result.Ingresses), counts(totals.Ingresses)),
		fmt.Sprintf("paths: %s; %d %% of them would be migrated", counts(totals.Paths), totals.ReadyPercent),
	}
	for _, controller := range result.Controllers {
		lines = append(lines, fmt.Sprintf("controller %s: %d Ingresses", cmp.Or(controller.Name, "not known (no such IngressClass)"), controller.Ingresses))
	}
	for _, shared := range result.Shared {
		lines = append(lines, fmt.Sprintf("Service %s/%s is shared by Ingresses %s", shared.Namespace, shared.Backend, strings.Join(shared.Ingresses, ", ")))
	}
	if totals.Canaries > 0 {
		lines = append(lines, fmt.Sprintf("%d Ingresses are canaries: opt in the main Ingresses", totals.Canaries))
	}
	if totals.ACMESolvers > 0 {
		lines = append(lines, fmt.Sprintf("%d Ingresses answer ACME challenges and stay as they are", totals.ACMESolvers))
	}
	if result.Missing > 0 {
		lines = append(lines, fmt.Sprintf("%d services are not in a migration config yet: 'migration-proxy scan --write-config' prints them", result.Missing))
	}
	for _, note := range result.Notes {
		lines = append(lines, "note: "+note)
	}
	return lines
}

func counts(of map[scan.Verdict]int) string {
	var parts []string
	for _, verdict := range scan.Verdicts() {
		if n := of[verdict]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, verdict))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// inMarkdown keeps what users wrote from ending a cell.
var inMarkdown = strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "*", "\\*", "_", "\\_", "`", "\\`")

func writeMarkdown(w io.Writer, result scan.Result) error {
	var text bytes.Buffer
	fmt.Fprint(&text, "# Ingresses\n\n| Ingress | path | backend | verdict | reason |\n|---|---|---|---|---|\n")
	for _, r := range rowsOf(result) {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |\n", inMarkdown.Replace(r.ingress), inMarkdown.Replace(r.path),
			inMarkdown.Replace(r.backend), r.verdict, inMarkdown.Replace(r.reason))
	}
	fmt.Fprint(&text, "\n# Summary\n\n")
	for _, line := range summary(result) {
		fmt.Fprintf(&text, "* %s\n", inMarkdown.Replace(line))
	}
	_, err := w.Write(text.Bytes())
	return err
}
