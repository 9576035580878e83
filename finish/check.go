package finish

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// State tells whether an item of the checklist is done.
type State string

// The states.
const (
	Done    State = "done"
	NotDone State = "not_done"
	Unknown State = "unknown"
)

// The items of the checklist.
const (
	ItemShare       = "share"
	ItemQuiet       = "quiet"
	ItemCertificate = "certificate"
	ItemAnswers     = "answers"
	ItemTranslation = "translation"
	ItemTTL         = "ttl"
	ItemOwner       = "owner"
)

// Item is one line of the checklist. Its JSON names are an interface.
type Item struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	State State  `json:"state"`
	// Reason is why it has this state.
	Reason string `json:"reason"`
	// WayOut is what to do; "" if it is done.
	WayOut string `json:"way_out,omitempty"`
	// Details are lines to read or to paste.
	Details []string `json:"details,omitempty"`
}

// Check makes the checklist. All items are there, whatever they depend on.
func Check(f Facts) []Item {
	return []Item{
		item(ItemShare, "all requests go to new", f.share()),
		item(ItemQuiet, fmt.Sprintf("quiet for %s", short(f.Quiet)), f.quiet()),
		item(ItemCertificate, "new has a certificate for "+f.Host, f.certificate()),
		item(ItemAnswers, "new answers as "+f.Host, f.answers()),
		item(ItemTranslation, "nothing needs our translation", f.translation()),
		item(ItemTTL, "the DNS record may change soon", f.ttl()),
		item(ItemOwner, "who changes the DNS record is known", f.owner()),
	}
}

// AllDone tells whether the migration can end.
func AllDone(items []Item) bool {
	return !slices.ContainsFunc(items, func(i Item) bool { return i.State != Done })
}

// finding is what one check found.
type finding struct {
	state          State
	reason, wayOut string
	details        []string
}

func done(format string, args ...any) finding {
	return finding{state: Done, reason: fmt.Sprintf(format, args...)}
}

func missing(wayOut, format string, args ...any) finding {
	return finding{state: NotDone, reason: fmt.Sprintf(format, args...), wayOut: wayOut}
}

func unknown(wayOut, format string, args ...any) finding {
	return finding{state: Unknown, reason: fmt.Sprintf(format, args...), wayOut: wayOut}
}

func item(id, title string, f finding) Item {
	return Item{ID: id, Title: title, State: f.state, Reason: f.reason, WayOut: f.wayOut, Details: f.details}
}

// maxListed is how many things of one kind a reason names.
const maxListed = 5

// list names the first things, and says how many more there are.
func list(things []string) string {
	if more := len(things) - maxListed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(things[:maxListed], "; "), more)
	}
	return strings.Join(things, "; ")
}

// short is 24h and not 24h0m0s.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	text = strings.TrimSuffix(text, "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == "" {
		return "0s"
	}
	return text
}

func stamp(at time.Time) string { return at.UTC().Format("2006-01-02 15:04 UTC") }
