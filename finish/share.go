package finish

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/journal"
	"github.com/migration-proxy/migration-proxy/migration"
)

// enoughPercent is the lowest share that counts as all: a ramp ends at 99, so that old
// can be compared until the end.
const enoughPercent = 99

// share tells whether all ready replicas send all requests to new, and since when.
func (f Facts) share() finding {
	name := f.Service.Name
	if len(f.Replicas) == 0 {
		return missing("start the proxy, and see 'migration-proxy status'", "no replica is ready")
	}
	var short, silent []string
	for _, replica := range f.Replicas {
		row := replica.Row
		switch {
		case replica.Problem != "":
			silent = append(silent, replica.Name+": "+replica.Problem)
		case row.Phase != status.Migrating:
			short = append(short, fmt.Sprintf("%s is %s: %s", replica.Name, row.Phase, row.Reason))
		case row.Share < enoughPercent:
			short = append(short, fmt.Sprintf("%s sends %g %%", replica.Name, row.Share))
		}
	}
	toOld := f.Service.RulesTo(migration.Old)
	switch {
	case len(short) > 0:
		return missing(fmt.Sprintf("migration-proxy update %s 100, or let the ramp end; 'migration-proxy status' shows the rest", name), "%s", list(short))
	case len(silent) > 0:
		return unknown("'migration-proxy status' tells more; ask again when all replicas answer", "%s", list(silent))
	case len(toOld) > 0:
		return missing("remove these rules from the config: their clients have not been at new yet", "rules send requests to old: %s", strings.Join(toOld, ", "))
	}
	return f.since()
}

// since tells for how long the share is in force, by the journal.
func (f Facts) since() finding {
	if f.JournalErr != "" {
		return unknown("the journal says since when; read it with 'migration-proxy report'", "at new now, since when is not known: %s", f.JournalErr)
	}
	at, known := fullSince(f.Journal.Of(string(f.Service.Name), time.Time{}))
	for _, replica := range f.Replicas { // what a replica knows by itself, when the journal has lost it
		if known {
			break
		}
		if s := replica.Row.Split.Since; s.After(at) {
			at = s
		}
	}
	if at.IsZero() {
		return unknown("wait: the journal begins with the first change that it sees", "at new now, since when is not known: the journal has nothing about it")
	}
	if age := f.Now.Sub(at); age < f.Quiet {
		return missing(fmt.Sprintf("wait until %s, or say how long is enough with --quiet", stamp(at.Add(f.Quiet+time.Minute))),
			"at new since %s, and not for %s yet", stamp(at), short(f.Quiet))
	}
	return done("%g %% or more in %d of %d replicas since %s", float64(enoughPercent), len(f.Replicas), len(f.Replicas), stamp(at))
}

// fullSince is when the share of a service last became enough, by its journal.
func fullSince(entries []journal.Entry) (since time.Time, known bool) {
	for _, point := range journal.Shares(entries) {
		switch {
		case point.Share < enoughPercent:
			since, known = time.Time{}, false
		case !known:
			since, known = point.At, true
		}
	}
	return since, known
}

// disturbances are the kinds of entries that mean that not all went well.
var disturbances = []journal.Kind{journal.FellBack, journal.Tripped, journal.Bypassed, journal.Paused, journal.RampReturned}

// quiet tells whether nothing happened lately. A drill is no disturbance.
func (f Facts) quiet() finding {
	if f.JournalErr != "" {
		return unknown("'migration-proxy report' must be able to read the journal", "what happened is not known: %s", f.JournalErr)
	}
	var happened []string
	var last time.Time
	for _, entry := range f.Journal.Of(string(f.Service.Name), f.Now.Add(-f.Quiet)) {
		if slices.Contains(disturbances, entry.Kind) && !entry.Drill {
			happened, last = append(happened, stamp(entry.At)+" "+entry.String()), entry.At
		}
	}
	if len(happened) > 0 {
		slices.Reverse(happened)
		return missing(fmt.Sprintf("find out why ('migration-proxy report %s'), and wait until %s", f.Service.Name, stamp(last.Add(f.Quiet))), "%s", list(happened))
	}
	if len(f.Journal.Entries) == 0 {
		return unknown("wait: the watcher writes the journal, or the proxy of a local config does", "the journal is empty")
	}
	return done("no fallback, trip, bypass or return of the ramp since %s", stamp(f.Now.Add(-f.Quiet)))
}
