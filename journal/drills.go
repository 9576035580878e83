package journal

import (
	"maps"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/internal/status"
)

// written marks a drill whose result is in the journal.
const written = " done"

// drills gives the entries of drills that began or ended.
func (k Known) drills(s State) ([]Entry, map[string]string) {
	var entries []Entry
	known := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Drills)) {
		drill := s.Drills[name]
		before := k.Drills[name]
		known[name] = drill.ID
		if strings.TrimSuffix(before, written) != drill.ID {
			entries = append(entries, Entry{Kind: Drilled, Service: name, What: "drill: all requests go to old until " + drill.Until.UTC().Format("15:04:05"), By: drill.By, Drill: true})
		}
		if drill.Result == "" {
			continue
		}
		known[name] += written
		if before != known[name] {
			entries = append(entries, Entry{Kind: Drilled, Service: name, What: "drill ended", Why: drill.Result, By: drill.By, Drill: true})
		}
	}
	return entries, known
}

// onlyDrill tells whether all replicas that have fallen back did it for a drill.
func (s State) onlyDrill(service string) bool {
	for _, reason := range s.Trips[service] {
		if !strings.HasPrefix(reason, status.DrillReason) {
			return false
		}
	}
	return len(s.Trips[service]) > 0
}
