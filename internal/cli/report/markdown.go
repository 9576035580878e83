package report

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// writeMarkdown prints what GitHub shows as tables.
func (r Report) writeMarkdown(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "# %s\n\nFrom %s, made at %s UTC.\n", escaped(r.title()), escaped(r.Source), stamp(r.Made))
	fmt.Fprintf(&text, "\n%s\n", r.radius())
	text.WriteString("\n## Steps\n\n| service | share | users of 10,000 | from | for | old: requests, failed, p99 | new: requests, failed, p99 | by |\n|---|---|---|---|---|---|---|---|\n")
	for _, step := range r.Steps {
		figures := step.figures()
		fmt.Fprintf(&text, "| %s | %s %% | %s | %s | %s | %s | %s | %s |\n", escaped(step.Service), escaped(step.Share), step.users(), stamp(step.From), step.duration(),
			strings.Join(figures[0][:], ", "), strings.Join(figures[1][:], ", "), escaped(step.By))
	}
	text.WriteString("\n## Returns to old\n\n| service | what | at | for | share before | what new got | why |\n|---|---|---|---|---|---|---|\n")
	for _, one := range r.Returns {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s %% | %s | %s |\n", escaped(one.Service), one.what(), stamp(one.At), one.duration(), one.Share, one.reached(), escaped(one.Why))
	}
	text.WriteString("\n## Timeline\n\n| at | service | what | why | by |\n|---|---|---|---|---|\n")
	for _, entry := range r.Entries {
		fmt.Fprintf(&text, "| %s | %s | %s | %s | %s |\n", stamp(entry.At), escaped(entry.Service), escaped(what(entry.What, entry.Object)),
			escaped(entry.Why), escaped(entry.By))
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}

// escaped makes text of others harmless in a cell: it begins no markup.
func escaped(text string) string {
	text = html.EscapeString(strings.Join(strings.Fields(text), " "))
	return strings.NewReplacer("|", "\\|", "[", "\\[", "]", "\\]", "`", "\\`", "*", "\\*", "_", "\\_", "\\", "\\\\").Replace(text)
}

func what(what, object string) string {
	if object == "" {
		return what
	}
	return what + " (" + object + ")"
}
