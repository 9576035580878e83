package compare

import (
	"slices"
	"strings"
	"time"
)

// The bounds of a Tally.
const (
	maxRoutes   = 500
	maxFields   = 40
	maxPatterns = 40
	maxExamples = 3
	maxTimes    = 2000
	// OtherRoutes is the route of all that come after maxRoutes.
	OtherRoutes = "(other routes)"
)

// Tally is what many samples of one service say. Tallies add up; the JSON form is an
// interface between replicas and those who add them.
type Tally struct {
	Routes map[string]*RouteTally `json:"routes,omitempty"` // by "METHOD template"
	// Unasked counts requests that cannot be samples, by the reason.
	Unasked map[string]uint64 `json:"unasked,omitempty"`
	// Times are new's times minus old's, in milliseconds, of samples with equal status.
	Times []float64 `json:"times_ms,omitempty"`
}

// RouteTally is the part of one route.
type RouteTally struct {
	Requests uint64                 `json:"requests"` // of clients
	Samples  int                    `json:"samples"`
	Noisy    int                    `json:"noisy,omitempty"`  // samples with noise in any field
	Fields   map[string]*FieldTally `json:"fields,omitempty"` // those that were not always equal
	// Together counts samples by the fields that differed, each list with line breaks.
	Together map[string]int `json:"together,omitempty"`
}

// FieldTally is how often a field was not equal.
type FieldTally struct {
	Noise    int       `json:"noise,omitempty"`
	Differs  int       `json:"differs,omitempty"`
	Cause    Cause     `json:"cause,omitempty"` // of the last difference
	Text     string    `json:"text,omitempty"`
	Examples []Example `json:"examples,omitempty"`
}

// Example is a request with the difference.
type Example struct {
	ID   string    `json:"request_id,omitempty"`
	Path string    `json:"path"` // without the query
	At   time.Time `json:"at"`
}

// Saw counts a request of a client.
func (t *Tally) Saw(route string) { t.route(route).Requests++ }

// Left counts a request of a client that cannot be a sample.
func (t *Tally) Left(reason string) {
	if t.Unasked == nil {
		t.Unasked = map[string]uint64{}
	}
	t.Unasked[reason]++
}

// Add counts a sample with its verdict.
func (t *Tally) Add(s *Sample, v Verdict, now time.Time) {
	r := t.route(RouteKey(s.Method, s.Path()))
	r.Samples++
	if len(v.Noise) > 0 {
		r.Noisy++
	}
	for _, field := range v.Noise {
		if f := r.field(field); f != nil {
			f.Noise++
		}
	}
	var differing []string
	for _, d := range v.Differences {
		f := r.field(d.Field)
		if f == nil {
			continue
		}
		f.Differs++
		f.Cause, f.Text = d.Cause, d.Text
		f.example(Example{s.ID, s.Path(), now})
		differing = append(differing, d.Field)
	}
	r.together(differing, 1)
	if v.SameDocument() && s.New.Failure == None && len(t.Times) < maxTimes {
		t.Times = append(t.Times, milliseconds(s.New.Duration-(s.Old.Duration+s.Again.Duration)/2))
	}
}

// Forget removes the samples of a route, not the requests.
func (t *Tally) Forget(key string) {
	if r := t.Routes[key]; r != nil {
		t.Routes[key] = &RouteTally{Requests: r.Requests}
	}
}

// RouteKey is the key of a route in a Tally.
func RouteKey(method, path string) string { return method + " " + Route(path) }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// route gives the tally of a route.
func (t *Tally) route(key string) *RouteTally {
	if t.Routes == nil {
		t.Routes = map[string]*RouteTally{}
	}
	r := t.Routes[key]
	if r == nil && len(t.Routes) >= maxRoutes {
		key = OtherRoutes
		r = t.Routes[key]
	}
	if r == nil {
		r = &RouteTally{}
		t.Routes[key] = r
	}
	return r
}

// field gives the tally of a field; nil if the route has too many.
func (r *RouteTally) field(name string) *FieldTally {
	if r.Fields == nil {
		r.Fields = map[string]*FieldTally{}
	}
	f := r.Fields[name]
	if f == nil && len(r.Fields) < maxFields {
		f = &FieldTally{}
		r.Fields[name] = f
	}
	return f
}

func (r *RouteTally) together(fields []string, n int) {
	if len(fields) == 0 {
		return
	}
	slices.Sort(fields)
	key := strings.Join(fields, "\n")
	if r.Together == nil {
		r.Together = map[string]int{}
	}
	if _, known := r.Together[key]; known || len(r.Together) < maxPatterns {
		r.Together[key] += n
	}
}

func (f *FieldTally) example(e Example) {
	known := func(other Example) bool { return other.Path == e.Path }
	if len(f.Examples) < maxExamples && !slices.ContainsFunc(f.Examples, known) {
		f.Examples = append(f.Examples, e)
	}
}

// Merge adds another tally, which stays as it is.
func (t *Tally) Merge(other *Tally) {
	for reason, n := range other.Unasked {
		if t.Unasked == nil {
			t.Unasked = map[string]uint64{}
		}
		t.Unasked[reason] += n
	}
	for key, from := range other.Routes {
		t.route(key).merge(from)
	}
	room := max(maxTimes-len(t.Times), 0)
	t.Times = append(t.Times, other.Times[:min(room, len(other.Times))]...)
}

func (r *RouteTally) merge(from *RouteTally) {
	r.Requests += from.Requests
	r.Samples += from.Samples
	r.Noisy += from.Noisy
	for key, n := range from.Together {
		r.together(strings.Split(key, "\n"), n)
	}
	for name, other := range from.Fields {
		f := r.field(name)
		if f == nil {
			continue
		}
		f.Noise += other.Noise
		f.Differs += other.Differs
		if other.Cause != "" {
			f.Cause, f.Text = other.Cause, other.Text
		}
		for _, e := range other.Examples {
			f.example(e)
		}
	}
}
