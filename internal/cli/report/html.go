package report

import (
	"fmt"
	"html/template"
	"io"
)

// page needs nothing from elsewhere: it can be mailed and kept.
var page = template.Must(template.New("report").Funcs(template.FuncMap{"stamp": stamp, "what": what}).Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{.Title}}</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222; background: #fff }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3em .6em; border-bottom: 1px solid #ddd; vertical-align: top; overflow-wrap: anywhere }
td.at { white-space: nowrap }
.fell_back, .tripped, .bypassed, .config_rejected, .ramp_returned { background: #fdecea }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #1b1b1b } th, td { border-color: #444 } .fell_back, .tripped, .bypassed, .config_rejected, .ramp_returned { background: #4a2320 } }
</style>
<h1>{{.Title}}</h1>
<p>From {{.Report.Source}}, made at {{stamp .Report.Made}} UTC.</p>
<p>{{.Radius}}</p>
<h2>Steps</h2>
<table>
<tr><th>service<th>share<th>users of 10,000<th>from<th>for<th>old: requests<th>failed<th>p99<th>new: requests<th>failed<th>p99<th>by</tr>
{{- range .Steps}}
<tr><td>{{.Service}}<td>{{.Share}} %<td>{{.AtNew}}<td class="at">{{stamp .From}}<td>{{.For}}{{range .Figures}}{{range .}}<td>{{.}}{{end}}{{end}}<td>{{.By}}</tr>
{{- end}}
</table>
<h2>Returns to old</h2>
<table>
<tr><th>service<th>what<th>at<th>for<th>share before<th>what new got<th>why</tr>
{{- range .Returns}}
<tr class="{{.Kind}}"><td>{{.Service}}<td>{{.What}}<td class="at">{{stamp .At}}<td>{{.For}}<td>{{.Share}} %<td>{{.Reached}}<td>{{.Why}}</tr>
{{- end}}
</table>
<h2>Timeline</h2>
<table>
<tr><th>at<th>service<th>what<th>why<th>by</tr>
{{- range .Report.Entries}}
<tr class="{{.Kind}}"><td class="at">{{stamp .At}}<td>{{.Service}}<td>{{what .What .Object}}<td>{{.Why}}<td>{{.By}}</tr>
{{- end}}
</table>
</html>
`))

type htmlStep struct {
	Step
	For     string
	AtNew   string // of the users
	Figures [2][3]string
}

type htmlReturn struct {
	Return
	What, For, Reached string
}

func (r Report) writeHTML(w io.Writer) error {
	rows := make([]htmlStep, len(r.Steps))
	for i, step := range r.Steps {
		rows[i] = htmlStep{step, step.duration(), step.users(), step.figures()}
	}
	returns := make([]htmlReturn, len(r.Returns))
	for i, one := range r.Returns {
		returns[i] = htmlReturn{one, one.what(), one.duration(), one.reached()}
	}
	err := page.Execute(w, map[string]any{"Title": r.title(), "Report": r, "Radius": r.radius(), "Steps": rows, "Returns": returns})
	if err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	return nil
}
