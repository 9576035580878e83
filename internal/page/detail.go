package page

import (
	"fmt"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// detailView is what the templates show of one service.
type detailView struct {
	Row     Row
	Facts   []fact
	Charts  []chart
	Since   string // of the history
	Note    string // why there is no chart
	Shares  []replicaLine
	Journal []journalLine
	Events  []eventLine
	Compare []string // how alike both sides answer
	Detail
}

type fact struct{ Name, Value string }

type replicaLine struct{ Pod, Share, Observed, Phase, Reason string }

type journalLine struct{ At, Text string }

type eventLine struct{ At, Object, Reason, Text string }

func newDetailView(snap *Snapshot, s *Service, d Detail) *detailView {
	v := &detailView{Row: snap.row(s, snap.At), Facts: facts(snap, s), Detail: d, Charts: charts(d.History, snap.At), Note: d.History.Note, Compare: compareLines(s)}
	if len(d.History.Points) > 0 {
		v.Since = moment(d.History.Points[0].At)
	}
	for _, r := range s.Replicas {
		one := Service{Service: s.Service}
		one.Observed, one.ObservedRequests = r.Observed, r.Requests
		v.Shares = append(v.Shares, replicaLine{r.Pod, number(r.Share) + " %", observedText(&one), string(r.Phase), r.Reason})
	}
	for _, entry := range d.Journal {
		at := moment(entry.At)
		v.Journal = append(v.Journal, journalLine{at, entry.String()})
	}
	for _, e := range d.Events {
		v.Events = append(v.Events, eventLine{moment(e.At), e.Object, e.Reason, e.Text})
	}
	return v
}

// compareLines says what each replica found by asking both sides the same.
func compareLines(s *Service) []string {
	if len(s.Replicas) == 0 {
		return linesOf("", s.Comparison)
	}
	var all []string
	for _, r := range s.Replicas {
		all = append(all, linesOf(r.Pod+": ", r.Comparison)...)
	}
	return all
}

func linesOf(who string, c *status.Comparison) []string {
	if c == nil {
		return nil
	}
	summary := fmt.Sprintf("%s%d requests asked of both sides in the last hour", who, c.Samples)
	if c.Same != nil {
		summary += fmt.Sprintf(", %s %% answered alike; they stand for %s %% of the traffic", number(*c.Same), number(c.Covered))
	}
	lines := []string{summary}
	if c.Paused != "" {
		lines = append(lines, who+"paused: "+c.Paused)
	}
	for _, finding := range c.Findings {
		lines = append(lines, who+finding)
	}
	return lines
}

// facts are what the row has no room for.
func facts(snap *Snapshot, s *Service) []fact {
	found := []fact{
		{"Host and path", s.OldHost + s.PathPrefix}, {"Strategy", s.Strategy}, {"Phase", phaseText(s)},
		{"Share", shareText(s)}, {"Observed", observedText(s)},
		{"Counted since the share changed", fmt.Sprintf("%d of %d requests went to new", s.Split.New, s.Split.Requests)},
		{"Old", s.Old.Backend + addresses(s.Old.Addresses)}, {"New", s.New.Backend + addresses(s.New.Addresses)},
		{"Requests that new failed and old answered", fmt.Sprint(s.New.Rescued)},
	}
	own, ok := snap.Ramps[s.Name]
	switch {
	case ok:
		found = append(found, fact{"Ramp", own.Where() + ", " + own.What() + ": " + own.Why}, fact{"Next step", own.NextStep()})
		if own.Evidence != nil {
			found = append(found, fact{"Evidence", own.Summary.String() + verdict(own)})
		}
	case s.Ramp != nil:
		found = append(found, fact{"Ramp", fmt.Sprintf("%g %% of %g %%; the evidence is in the cluster: migration-proxy ui", s.Ramp.Position, s.Ramp.Ceiling)})
	}
	return found
}

func verdict(r rampview.Row) string {
	if r.Evidence.Verdict == "" {
		return ""
	}
	return "; new is judged " + string(r.Evidence.Verdict)
}

func phaseText(s *Service) string {
	text := string(s.Phase)
	if s.Since != nil {
		text += " since " + moment(*s.Since)
	}
	if s.Reason != "" {
		text += ": " + s.Reason
	}
	return text
}

func addresses(all []string) string {
	if len(all) == 0 {
		return ""
	}
	const most = 8
	if more := len(all) - most; more > 0 {
		all = append(all[:most:most], fmt.Sprintf("%d more", more))
	}
	return " (" + strings.Join(all, ", ") + ")"
}
