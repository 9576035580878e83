package journal

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
)

// Known is the state up to which the changes are in the journal. It is stored with the
// entries, in the same write: a new leader goes on from it, so that no change is lost and
// none is written twice.
type Known struct {
	// Text is TextDigest of the newest config, valid or not.
	Text     string                  `json:"text"`
	Rejected string                  `json:"rejected,omitempty"` // why that one is not in force
	Paused   string                  `json:"paused,omitempty"`   // why nothing is rewritten
	Refusals map[string]time.Time    `json:"refusals,omitempty"` // by pod: when it refused a valid config
	Services map[string]KnownService `json:"services"`           // nil: nothing is known yet
	// Drills has the ID of the newest drill of each service, with a mark behind those whose
	// result is in the journal.
	Drills map[string]string `json:"drills,omitempty"`
	table  *migration.Table  // with Services; nil after a change of the leader
}

// KnownService is what is known of one service.
type KnownService struct {
	Percentage string       `json:"percentage"`
	Enabled    bool         `json:"enabled"`
	Inactive   bool         `json:"inactive,omitempty"` // its strategy has no percentage
	Settings   string       `json:"settings"`           // a digest
	Phase      status.Phase `json:"phase,omitempty"`
	Tripped    []string     `json:"tripped,omitempty"` // pods, sorted
}

// effective is the share in force, in percent.
func (k KnownService) effective() string {
	if !k.Enabled || k.Inactive {
		return "0"
	}
	return k.Percentage
}

func knownService(service *migration.Service) KnownService {
	return KnownService{
		Percentage: service.Share.String(), Enabled: service.Enabled, Settings: settingsDigest(service),
		Inactive: service.Strategy == migration.StrategyHeader || service.Strategy == migration.StrategyIP,
	}
}

// State is what is now. All of it is read only.
type State struct {
	At       time.Time
	Table    *migration.Table // in force; nil: none
	Text     string           // TextDigest of the newest config
	By       string           // who wrote the newest config; "" if nobody did since the state before
	Rejected string
	Paused   string
	Refusals map[string]Refusal               // by pod
	Services map[string]status.ClusterService // over all replicas
	Trips    map[string]map[string]string     // by service and pod: why the circuit breaker is open
	Evidence map[string]*Evidence             // by service, what was counted until now
	Drills   map[string]status.Drill          // by service, the newest one
}

// Refusal is a config that is valid and that a replica refuses.
type Refusal struct {
	At  time.Time
	Why string
}

// ParseKnown reads the text of KnownKey. One that does not parse counts as none.
func ParseKnown(text string) Known {
	var known Known
	if json.Unmarshal([]byte(text), &known) != nil {
		return Known{}
	}
	return known
}

// With is the known state with the table that its services come from, so that changed
// settings have names.
func (k Known) With(table *migration.Table) Known {
	k.table = table
	return k
}

// Table is the table that the services come from; nil if it is not known.
func (k Known) Table() *migration.Table { return k.table }

// maxKnownBytes leaves room for the entries in a ConfigMap of 1 MiB.
const maxKnownBytes = 800 << 10

// Format is the content of KnownKey. When the services do not fit, a new leader begins
// without them.
func (k Known) Format() (string, error) {
	text, err := json.Marshal(k)
	if err == nil && len(text) > maxKnownBytes {
		k.Services = nil
		text, err = json.Marshal(k)
	}
	if err != nil {
		return "", fmt.Errorf("write what the journal knows: %w", err)
	}
	return string(text), nil
}

// Changes gives what happened between the known state and s, and what is known then.
func (k Known) Changes(s State) ([]Entry, Known) {
	next := Known{Text: s.Text, Rejected: s.Rejected, Paused: s.Paused, Services: k.Services, table: k.table, Refusals: map[string]time.Time{}}
	drills, known := k.drills(s)
	next.Drills = known
	entries := slices.Concat(k.config(s), k.refusals(s, next.Refusals), k.pause(s), drills)
	if s.Table != nil {
		services, known := k.services(s)
		entries = append(entries, services...)
		next.Services, next.table = known, s.Table
	}
	for i := range entries {
		entries[i].At = s.At
	}
	return entries, next
}

func (k Known) config(s State) []Entry {
	switch {
	case s.Rejected != "" && (s.Rejected != k.Rejected || s.Text != k.Text):
		return []Entry{{Kind: ConfigRejected, What: "config rejected, the last valid one stays in force", Why: s.Rejected, By: s.By}}
	case s.Rejected == "" && k.Rejected != "":
		return []Entry{{Kind: ConfigAccepted, What: "config accepted again", By: s.By}}
	}
	return nil
}

// refusals fills known.
func (k Known) refusals(s State, known map[string]time.Time) []Entry {
	var entries []Entry
	for _, pod := range slices.Sorted(maps.Keys(s.Refusals)) {
		refusal := s.Refusals[pod]
		known[pod] = refusal.At
		if !k.Refusals[pod].Equal(refusal.At) {
			entries = append(entries, Entry{Kind: ConfigRejected, Object: pod, What: "config rejected by a replica", Why: refusal.Why})
		}
	}
	return entries
}

func (k Known) pause(s State) []Entry {
	switch {
	case s.Paused != "" && k.Paused == "":
		return []Entry{{Kind: Paused, What: "paused: no Ingress points at the proxy", Why: s.Paused}}
	case s.Paused == "" && k.Paused != "":
		return []Entry{{Kind: Resumed, What: "resumed"}}
	}
	return nil
}

// maxBaseline is how many services a journal that begins lists one by one.
const maxBaseline = 20

func (k Known) services(s State) ([]Entry, map[string]KnownService) {
	var entries []Entry
	known := make(map[string]KnownService, len(s.Table.Services()))
	for i := range s.Table.Services() {
		service := &s.Table.Services()[i]
		changes, after := k.service(service, s)
		known[string(service.Name)] = after
		entries = append(entries, changes...)
	}
	for _, name := range slices.Sorted(maps.Keys(k.Services)) {
		if _, ok := known[name]; !ok {
			gone := removed(name, k.Services[name])
			gone.By = s.By
			entries = append(entries, gone)
		}
	}
	if k.Services == nil && len(known) > maxBaseline {
		entries = []Entry{{Kind: Changed, What: fmt.Sprintf("the journal begins, with %d services", len(known))}}
	}
	return entries, known
}

// service gives the changes of one service.
func (k Known) service(service *migration.Service, s State) ([]Entry, KnownService) {
	name := string(service.Name)
	before, existed := k.Services[name]
	entries, after := []Entry(nil), before
	if !existed || k.table != s.Table { // the same table has the same settings
		after = knownService(service)
		entries = k.configured(service, after, s)
	}
	phase, known := phaseChange(name, before.Phase, s)
	trips, tripped := trips(name, before.Tripped, before.Phase == status.FallenBack || known == status.FallenBack, s)
	after.Phase, after.Tripped = known, tripped
	return slices.Concat(entries, phase, trips), after
}

// configured gives the changes that an edit of the config made to one service.
func (k Known) configured(service *migration.Service, after KnownService, s State) []Entry {
	name := string(service.Name)
	before, existed := k.Services[name]
	var entries []Entry
	switch {
	case existed:
		var settings []string
		if k.table != nil && k.table.Service(service.Name) != nil {
			settings = Settings(k.table.Service(service.Name), service)
		}
		entries = changesOf(before, service, settings)
	case k.Services == nil:
		entries = []Entry{{Kind: Share, Service: name, To: after.effective(), What: "percentage " + after.Percentage + ifDisabled(after.Enabled)}}
	default:
		entries = []Entry{added(service)}
	}
	for i := range entries {
		entries[i].By, entries[i].Evidence = s.By, s.Evidence[name]
	}
	return entries
}

// phaseChange gives the entry for a new phase. That a service is not served yet when it
// comes is usual, and none.
func phaseChange(name string, before status.Phase, s State) ([]Entry, status.Phase) {
	now, ok := s.Services[name]
	if !ok || now.Phase == before || before == "" && now.Phase == status.Bypassed {
		return nil, before
	}
	entry := Entry{Service: name, From: string(before), To: string(now.Phase), Why: now.Reason, Evidence: s.Evidence[name]}
	entry.Drill = now.Phase == status.FallenBack && s.onlyDrill(name)
	switch {
	case now.Phase == status.FallenBack:
		entry.Kind, entry.What = FellBack, "fell back to old"
	case now.Phase == status.Bypassed:
		entry.Kind, entry.What = Bypassed, "traffic goes past the proxy"
	case before == "":
		return nil, now.Phase
	default:
		entry.Kind, entry.What = Recovered, "traffic goes through the proxy again, after "+string(before)
	}
	return []Entry{entry}, now.Phase
}

// trips gives the entries for replicas whose circuit breaker opened or closed. With the
// whole service fallen back they are part of that.
func trips(name string, before []string, fallenBack bool, s State) ([]Entry, []string) {
	now := s.Trips[name]
	tripped := slices.Sorted(maps.Keys(now))
	if fallenBack || slices.Equal(before, tripped) {
		return nil, tripped
	}
	var opened, why, closed []string
	for _, pod := range tripped {
		if !slices.Contains(before, pod) {
			opened, why = append(opened, pod), append(why, pod+": "+now[pod])
		}
	}
	for _, pod := range before {
		if _, still := now[pod]; !still {
			closed = append(closed, pod)
		}
	}
	var entries []Entry
	if len(opened) > 0 {
		entries = append(entries, Entry{
			Kind: Tripped, Service: name, What: "tripped in replica " + strings.Join(opened, ", "),
			Why: strings.Join(why, "; "), Evidence: s.Evidence[name], Drill: s.onlyDrill(name),
		})
	}
	if len(closed) > 0 {
		entries = append(entries, Entry{Kind: Returned, Service: name, What: "back on new in replica " + strings.Join(closed, ", ")})
	}
	return entries, tripped
}
