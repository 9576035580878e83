package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Wants tells whether a target is told of an entry. One that concerns all services
// concerns each of them.
func Wants(target migration.NotifyTarget, entry journal.Entry) bool {
	return slices.Contains(target.On, string(entry.Kind)) &&
		(entry.Service == "" || len(target.Services) == 0 || slices.Contains(target.Services, migration.Name(entry.Service)))
}

// Body is the body of the request about an entry.
func Body(format migration.NotifyFormat, entry journal.Entry) ([]byte, error) {
	var message any = entry
	switch format {
	case migration.NotifySlack:
		message = slackMessage(entry)
	case migration.NotifyTeams:
		message = teamsMessage(entry)
	}
	text, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("write the message of entry %d: %w", entry.ID, err)
	}
	return text, nil
}

// title is the entry in few words: "shop: fell back to old".
func title(entry journal.Entry) string {
	if entry.Service == "" {
		return "migration: " + entry.What
	}
	return entry.Service + ": " + entry.What
}

// fact is one line below the title.
type fact struct{ name, value string }

// facts are the parts of an entry that the title does not have.
func facts(entry journal.Entry) []fact {
	all := []fact{
		{"why", entry.Why}, {"by", entry.By}, {"object", entry.Object}, {"before", entry.From}, {"after", entry.To},
	}
	all = append(all, evidenceFacts(entry.Evidence)...)
	all = append(all, fact{"journal", fmt.Sprintf("entry %d, %s, %s", entry.ID, entry.Kind, entry.At.UTC().Format("2006-01-02 15:04:05 MST"))})
	return slices.DeleteFunc(all, func(f fact) bool { return f.value == "" })
}

func evidenceFacts(e *journal.Evidence) []fact {
	if e == nil {
		return nil
	}
	all := []fact{{"old", sideText(e.Old)}, {"new", sideText(e.New)}}
	if e.Odds > 0 {
		all = append(all, fact{"odds of a failure", fmt.Sprintf("%.2f times old's (%.2f to %.2f)", e.Odds, e.OddsLow, e.OddsHigh)})
	}
	if e.Bad > 0 || e.Good > 0 {
		all = append(all, fact{"e-values", fmt.Sprintf("%.3g that new is bad, %.3g that it is good", e.Bad, e.Good)})
	}
	if !e.Since.IsZero() {
		all = append(all, fact{"counted since", e.Since.UTC().Format("2006-01-02 15:04:05 MST")})
	}
	return append(all, fact{"served by", servedBy(e)})
}

func sideText(s journal.Side) string {
	text := fmt.Sprintf("%d requests", s.Requests)
	if s.Failed > 0 || s.Slow > 0 {
		text += fmt.Sprintf(", %d failed, %d slow", s.Failed, s.Slow)
	}
	return text + fmt.Sprintf("; last minute: %.2f %% failed, p99 %s", 100*s.FailedRatio, time.Duration(s.P99*float64(time.Second)).Round(time.Millisecond))
}

func servedBy(e *journal.Evidence) string {
	var parts []string
	if e.Replicas > 0 {
		parts = append(parts, fmt.Sprintf("%d replicas", e.Replicas))
	}
	if e.Digest != "" {
		parts = append(parts, "config "+e.Digest)
	}
	if e.Nginx != "" {
		parts = append(parts, "nginx "+e.Nginx)
	}
	return strings.Join(parts, ", ")
}
