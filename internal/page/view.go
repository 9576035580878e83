package page

import (
	"strconv"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/ramp"
)

// RowsWithoutScript is how many lines the table has until the script runs, which renders
// those that fit the window. Without a script there are links to the next ones.
const RowsWithoutScript = 100

// Query is what the address of the page says.
type Query struct {
	Service string // the one to show in detail; "" is the table
	Filter  string
	From    int // the first line of the table
}

// view is what the templates show.
type view struct {
	Place, Headline, At string
	Persons, Others     *items // what needs a person, and what ends by itself; nil: nothing
	Notes               *items
	Replicas            []Replica
	Heads               []string
	Rows                []Row // those of this page of the table
	Total, Found        int
	Filter              string
	Next, Previous      int // the first line of the other pages; -1: there is none
	Detail              *detailView
	Form                Form
	Answer              *Answer
}

// item is a problem with a link to its service.
type item struct{ Service, Text string }

// items are a list of which the first are shown.
type items struct {
	Total int
	Shown []item
}

// mostItems bounds the list: a thousand services may have the same problem.
const mostItems = 20

// More is how many are not shown.
func (i *items) More() int { return i.Total - len(i.Shown) }

func (i *items) with(one item) *items {
	if i == nil {
		i = &items{}
	}
	if i.Total++; len(i.Shown) < mostItems {
		i.Shown = append(i.Shown, one)
	}
	return i
}

func newView(snap *Snapshot, q Query) view {
	v := view{
		Place: snap.Place, Headline: snap.Headline, At: clock(snap.At), Replicas: snap.Replicas,
		Heads: Heads, Total: len(snap.Services), Filter: q.Filter, Next: -1, Previous: -1,
	}
	for _, note := range snap.Notes {
		v.Notes = v.Notes.with(item{Text: note})
	}
	v.addProblems(snap)
	return v
}

func (v *view) addProblems(snap *Snapshot) {
	for _, problem := range snap.Problems {
		v.add(problem)
	}
	for i := range snap.Services {
		s := &snap.Services[i]
		for _, problem := range s.Problems(snap.At) {
			v.add(problem)
		}
		if own, ok := snap.Ramps[s.Name]; ok && own.NeedsPerson {
			v.add(status.Problem{Service: s.Name, Text: asks(own), Person: true})
		}
	}
}

func (v *view) add(problem status.Problem) {
	one := item{problem.Service, strings.TrimLeft(strings.TrimPrefix(problem.Text, problem.Service), ": ")}
	if problem.Person {
		v.Persons = v.Persons.with(one)
		return
	}
	v.Others = v.Others.with(one)
}

// asks is what a ramp wants of a person, with the command that gives it.
func asks(r rampview.Row) string {
	verb := ramp.Resume
	if r.Reason == ramp.ReasonAsk {
		verb = ramp.Approve
	}
	return r.String() + "; migration-proxy ramp " + r.Service + " " + string(verb)
}

// addRows adds the lines of the table that the query asks for.
func (v *view) addRows(snap *Snapshot, q Query) {
	var found []Row
	for i := range snap.Services {
		if row := snap.row(&snap.Services[i], snap.At); row.matches(q.Filter) {
			found = append(found, row)
		}
	}
	v.Found = len(found)
	from := min(max(q.From, 0), len(found))
	to := min(from+RowsWithoutScript, len(found))
	v.Rows = found[from:to]
	if to < len(found) {
		v.Next = to
	}
	if from > 0 {
		v.Previous = max(from-RowsWithoutScript, 0)
	}
}

// Empty is a line without a service, for the script to copy.
func (v view) Empty() Row { return Row{Bar: Bar{Low: -1}, Cells: make([]string, len(v.Heads)-2)} }

// Counted is "12 of 1000 services".
func (v view) Counted() string {
	if v.Found == v.Total {
		return count(v.Total, "service")
	}
	return strconv.Itoa(v.Found) + " of " + count(v.Total, "service")
}
