package page

import (
	"slices"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/rampview"
	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
)

// Snapshot is what the page shows at one moment. All of it is of one reading.
type Snapshot struct {
	Place    string           // whose state this is: "namespace migration-proxy"
	Headline string           // who is ready, and what is served
	At       time.Time        // when it was read
	Problems []status.Problem // without those of services
	Services []Service        // by name
	Replicas []Replica
	Ramps    map[string]rampview.Row // by service; without one, only the position is known
	Notes    []string                // what is worth knowing: Ingresses, holes of nginx, what this page cannot know
}

// SetRamps gives the snapshot its ramps.
func (snap *Snapshot) SetRamps(rows []rampview.Row) {
	snap.Ramps = make(map[string]rampview.Row, len(rows))
	for _, row := range rows {
		snap.Ramps[row.Service] = row
	}
}

// Service is one service over all replicas, and in each of them.
type Service struct {
	status.Service
	Since    *time.Time // of the phase; nil: not known
	Replicas []ReplicaShare
}

// ReplicaShare is one service in one replica.
type ReplicaShare struct {
	Pod      string
	Share    float64
	Observed *float64 // nil with too few requests
	Requests uint64   // that Observed is about
	Phase    status.Phase
	Reason   string
	// Comparison is nil unless the config says compare.continuous.
	Comparison *status.Comparison
}

// Replica is one replica.
type Replica struct{ Pod, Ready, Serves, Since, Version, Nginx string }

// Detail is what the page shows of one service, other than its row. A note says why
// something is missing.
type Detail struct {
	History       history.Document
	HistoryNote   string
	Journal       []journal.Entry // the newest first
	JournalNote   string
	Ingresses     []Ingress
	IngressesNote string
	Events        []Event // the newest first
	EventsNote    string
}

// mostEntries of the journal are shown; the command report has all.
const mostEntries = 100

// NewestEntries are what a Detail shows of a journal; the note says that there is nothing.
func NewestEntries(all journal.Journal, service string) (found []journal.Entry, note string) {
	for _, entry := range slices.Backward(all.Entries) {
		if (entry.Service == "" || entry.Service == service) && len(found) < mostEntries {
			found = append(found, entry)
		}
	}
	if len(found) == 0 {
		return nil, "Nothing yet."
	}
	return found, ""
}

// Ingress is one Ingress with the service's host.
type Ingress struct{ Name, Phase, Reason string }

// Event is a Kubernetes Event about one of the Ingresses.
type Event struct {
	At                   time.Time
	Object, Reason, Text string
}

// Service is the row of a service, or nil.
func (snap *Snapshot) Service(name string) *Service {
	for i := range snap.Services {
		if snap.Services[i].Name == name {
			return &snap.Services[i]
		}
	}
	return nil
}
