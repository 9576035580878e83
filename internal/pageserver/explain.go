package pageserver

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/cli/explain"
	"github.com/migration-proxy/migration-proxy/internal/page"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

func formOf(r *http.Request) page.Form {
	q := r.URL.Query()
	form := page.Form{
		Service: q.Get("service"), Host: q.Get("host"), Path: q.Get("path"), Headers: q.Get("headers"), Cookies: q.Get("cookies"), IP: q.Get("ip"),
	}
	if form.Path == "" {
		form.Path = "/"
	}
	return form
}

func (s *Server) serveExplain(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	answer := s.explain(r.Context(), formOf(r))
	text, err := page.AnswerHTML(&answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = w.Write(text)
}

// explain answers with the function of the command explain, for the shares that are in
// force now.
func (s *Server) explain(ctx context.Context, form page.Form) page.Answer {
	question := question(form)
	request, err := explain.Parse(question)
	if err != nil {
		return page.Answer{Problem: strings.TrimPrefix(err.Error(), "--")}
	}
	table, err := s.options.Source.Table(ctx)
	if err != nil {
		return page.Answer{Problem: err.Error()}
	}
	snapshot, err := s.snapshots.get(ctx)
	if err != nil {
		return page.Answer{Problem: err.Error()}
	}
	answer := request.Decide(table)
	if row := snapshot.Service(answer.Service); row != nil {
		question.Tripped = row.Phase == status.FallenBack
		if request, err = explain.Parse(question); err == nil {
			answer = request.Decide(inForce(table, row))
		}
		if row.Phase == status.Bypassed {
			answer.Text += "; but the Ingress points past the proxy now: " + row.Reason
		}
	}
	return page.Answer{Side: answer.SideText(), Facts: answerFacts(answer, request.Notes(table))}
}

// inForce is the table with the share of a service that its ramp has reached.
func inForce(table *migration.Table, row *page.Service) *migration.Table {
	if row.Ramp == nil {
		return table
	}
	if with := table.WithShare(migration.Name(row.Name), migration.ShareOf(row.Share)); with != nil {
		return with
	}
	return table
}

func question(form page.Form) explain.Question {
	q := explain.Question{Host: strings.TrimSpace(form.Host), Path: strings.TrimSpace(form.Path), IP: strings.TrimSpace(form.IP)}
	for _, text := range strings.Split(form.Headers, "\n") {
		if text = strings.TrimSpace(text); text != "" {
			q.Headers = append(q.Headers, withEquals(text))
		}
	}
	for _, text := range strings.Split(form.Cookies, ";") {
		if text = strings.TrimSpace(text); text != "" {
			q.Cookies = append(q.Cookies, text)
		}
	}
	return q
}

// withEquals is a header line as the command takes it: "NAME: VALUE" is NAME=VALUE.
func withEquals(text string) string {
	i := strings.IndexAny(text, ":=")
	if i < 0 {
		return text
	}
	return text[:i] + "=" + text[i+1:]
}

func answerFacts(a explain.Answer, notes []string) []page.Fact {
	var found []page.Fact
	add := func(name, value string) {
		if value != "" {
			found = append(found, page.Fact{Name: name, Value: value})
		}
	}
	add("Service", a.Service)
	add("Rule", a.Reason)
	add("Why", a.Text)
	if a.Bucket != nil {
		add("Bucket", fmt.Sprintf("%d of 0 to 9999; those below %g %% go to new", *a.Bucket, a.Share))
	}
	add("Client", a.Client)
	if a.Loose {
		add("Path", "matched loosely: no path_prefix covers it, and this service's is how it begins")
	}
	for _, note := range notes {
		add("Note", note)
	}
	return found
}
