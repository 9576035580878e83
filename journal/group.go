package journal

import (
	"fmt"
	"strings"
)

const (
	// groupFrom is how many entries at the same time are written one by one.
	groupFrom = 50
	// namedInGroup is how many services the entry of a group names.
	namedInGroup = 5
)

// grouped makes one entry of those that say the same of many services: an edit of 2,000
// percentages, the end of all replicas, or a step of all ramps must not push out the whole
// history. An entry about a version of an Ingress stays, so that Has finds it.
func grouped(entries []Entry) []Entry {
	if len(entries) <= groupFrom {
		return entries
	}
	groups := map[Entry]*group{}
	for _, entry := range entries {
		of, ok := groups[subject(entry)]
		if !ok {
			of = &group{services: map[string]bool{}, why: entry.Why}
			groups[subject(entry)] = of
		}
		of.add(entry)
	}
	var left []Entry
	for _, entry := range entries {
		of := groups[subject(entry)]
		switch {
		case len(of.services) <= namedInGroup || entry.Version != "":
			left = append(left, entry)
		case !of.written:
			of.written = true
			left = append(left, of.entry(entry))
		}
	}
	return left
}

// subject is what the entries of a group have in common.
func subject(e Entry) Entry {
	return Entry{Kind: e.Kind, What: e.What, By: e.By, Drill: e.Drill}
}

// group is the services of which the same is said.
type group struct {
	services map[string]bool
	named    []string // the first of them
	why      string   // the reason of all; "" if they differ
	written  bool     // its entry is
}

func (g *group) add(entry Entry) {
	if !g.services[entry.Service] && len(g.named) < namedInGroup {
		g.named = append(g.named, entry.Service)
	}
	g.services[entry.Service] = true
	if entry.Why != g.why {
		g.why = ""
	}
}

// entry is that of the whole group, made from the first one.
func (g *group) entry(first Entry) Entry {
	first.What = fmt.Sprintf("%s: %d services, %s and others", first.What, len(g.services), strings.Join(g.named, ", "))
	first.Service, first.Object, first.Why, first.Evidence = "", "", g.why, nil
	return first
}
