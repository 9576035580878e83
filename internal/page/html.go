package page

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/excerpt"
)

//go:embed assets
var assets embed.FS

// maxRendered bounds what is written about one thing.
const maxRendered = 2000

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"cut":   func(text string) string { return excerpt.Of(text, maxRendered) },
	"lower": strings.ToLower,
}).ParseFS(assets, "assets/*.html"))

// Style and Script are the files beside the page.
func Style() []byte { return mustRead("assets/app.css") }

// Script is the script of the page.
func Script() []byte { return mustRead("assets/app.js") }

func mustRead(name string) []byte {
	text, err := assets.ReadFile(name)
	if err != nil {
		panic(err) // the program has it
	}
	return text
}

// Page is the whole page: the table, or with a detail one service. The answer is that of
// the form; nil: nothing was asked.
func Page(snap *Snapshot, q Query, d *Detail, form Form, answer *Answer) ([]byte, error) {
	v := newView(snap, q)
	v.Form, v.Answer = form, answer
	if s := snap.Service(q.Service); s != nil && d != nil {
		v.Detail = newDetailView(snap, s, *d)
	} else {
		v.addRows(snap, q)
	}
	return render("page", v)
}

// Update is what the script puts in place at once, so that the page never has parts of
// two moments.
type Update struct {
	At     string `json:"at"`
	Top    string `json:"top"`              // HTML
	Rows   []Row  `json:"rows"`             // of all services; nil with a Detail
	Detail string `json:"detail,omitempty"` // HTML
}

// TableUpdate is the newest state of the table.
func TableUpdate(snap *Snapshot) (Update, error) {
	u, err := newUpdate(snap)
	u.Rows = make([]Row, len(snap.Services))
	for i := range snap.Services {
		u.Rows[i] = snap.row(&snap.Services[i], snap.At)
	}
	return u, err
}

// DetailUpdate is the newest state of one service; without it, the page says so.
func DetailUpdate(snap *Snapshot, service string, d Detail) (Update, error) {
	u, err := newUpdate(snap)
	if err != nil {
		return u, err
	}
	s := snap.Service(service)
	if s == nil {
		u.Detail = "<p>This service is not served any more.</p>"
		return u, nil
	}
	v := newView(snap, Query{Service: service})
	v.Detail = newDetailView(snap, s, d)
	text, err := render("detail", v)
	u.Detail = string(text)
	return u, err
}

func newUpdate(snap *Snapshot) (Update, error) {
	top, err := render("top", newView(snap, Query{}))
	return Update{At: clock(snap.At), Top: string(top)}, err
}

// AnswerHTML is the answer to the form alone.
func AnswerHTML(answer *Answer) ([]byte, error) { return render("answer", view{Answer: answer}) }

// Trouble is the page when nothing could be read.
func Trouble(place, problem string) ([]byte, error) {
	return render("trouble", view{Place: place, Headline: problem})
}

func render(name string, v view) ([]byte, error) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, v); err != nil {
		return nil, fmt.Errorf("write the page: %w", err)
	}
	return text.Bytes(), nil
}
