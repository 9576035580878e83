package journal

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The keys of ConfigMap migration-journal. All have one writer, the watcher's leader.
const (
	EntriesKey = "entries.json" // Journal
	KnownKey   = "known.json"   // Known: up to where the changes are in the journal
)

// The bounds of a journal.
const (
	MaxEntries = 300
	MaxBytes   = 100 << 10
	// MaxPending is how many entries wait at most to be appended at once: two for each
	// service of a full ConfigMap.
	MaxPending = 5000
)

// Journal is a list of entries, the oldest first.
type Journal struct {
	// LastID is the ID of the newest entry that there ever was.
	LastID  uint64  `json:"last_id"`
	Entries []Entry `json:"entries"`
}

// Parse reads the text of a journal; "" is an empty one.
func Parse(text string) (Journal, error) {
	var j Journal
	if text == "" {
		return j, nil
	}
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return Journal{}, fmt.Errorf("key %s: %w", EntriesKey, err)
	}
	for _, entry := range j.Entries {
		j.LastID = max(j.LastID, entry.ID)
	}
	return j, nil
}

// Append gives a journal with more entries, within the bounds, and leaves this one as
// it is. Many that say the same of many services become one. Texts that are too long are cut.
// When there are too many entries, the oldest of the service that has the most goes: a
// service that falls back all day must not push the others out.
func (j Journal) Append(entries ...Entry) Journal {
	next := Journal{LastID: j.LastID, Entries: append([]Entry(nil), j.Entries...)}
	added := grouped(entries)
	for _, entry := range added[max(len(added)-2*MaxEntries, 0):] { // bound takes the square of their number
		next.LastID++
		entry = entry.bounded()
		entry.ID = next.LastID
		next.Entries = append(next.Entries, entry)
	}
	next.bound()
	return next
}

func (j *Journal) bound() {
	sizes, bytes, count := make(map[uint64]int, len(j.Entries)), 0, map[string]int{}
	for _, entry := range j.Entries {
		text, _ := json.Marshal(entry) // plain values always have a text
		sizes[entry.ID] = len(text) + 1
		bytes += len(text) + 1
		count[entry.Service]++
	}
	for len(j.Entries) > MaxEntries || bytes > MaxBytes && len(j.Entries) > 1 {
		i := j.leastMissed(count)
		bytes -= sizes[j.Entries[i].ID]
		count[j.Entries[i].Service]--
		j.Entries = append(j.Entries[:i], j.Entries[i+1:]...)
	}
}

// leastMissed is the oldest entry of the service with the most entries.
func (j *Journal) leastMissed(count map[string]int) int {
	found := 0
	for i, entry := range j.Entries {
		if count[entry.Service] > count[j.Entries[found].Service] {
			found = i
		}
	}
	return found
}

// Has tells whether the journal has an entry of this kind about this version of an object:
// two watchers that lead at once for a moment see the same change.
func (j Journal) Has(entry Entry) bool {
	return entry.Version != "" && slices.ContainsFunc(j.Entries, func(one Entry) bool {
		return one.Kind == entry.Kind && one.Object == entry.Object && one.Version == entry.Version
	})
}

// Since gives the entries after the one with an ID.
func (j Journal) Since(id uint64) []Entry {
	var newer []Entry
	for _, entry := range j.Entries {
		if entry.ID > id {
			newer = append(newer, entry)
		}
	}
	return newer
}

// Text is the content of EntriesKey.
func (j Journal) Text() (string, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return "", fmt.Errorf("write the journal: %w", err)
	}
	return string(text), nil
}

// Newest is the newest entry of each service; "" has the newest that concerns all.
func (j Journal) Newest() map[string]Entry {
	newest := map[string]Entry{}
	for _, entry := range j.Entries {
		newest[entry.Service] = entry
	}
	return newest
}

// Of gives the entries of a service and those that concern all, since a time. The
// service "" is all services, the zero time is all entries.
func (j Journal) Of(service string, since time.Time) []Entry {
	var found []Entry
	for _, entry := range j.Entries {
		if (service == "" || entry.Service == "" || entry.Service == service) && !entry.At.Before(since) {
			found = append(found, entry)
		}
	}
	return found
}
