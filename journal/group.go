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

// grouped makes one entry of those that say the same of many services: an edit of 5,000
// percentages, or the end of all replicas, must not push out the whole history.
func grouped(entries []Entry) []Entry {
	if len(entries) <= groupFrom {
		return entries
	}
	type group struct {
		kind Kind
		what string
	}
	members := map[group][]Entry{}
	for _, entry := range entries {
		key := group{entry.Kind, entry.What}
		members[key] = append(members[key], entry)
	}
	var left []Entry
	for _, entry := range entries {
		key := group{entry.Kind, entry.What}
		same := members[key]
		switch {
		case len(same) > namedInGroup:
			left = append(left, groupOf(same))
			delete(members, key)
		case len(same) > 0:
			left = append(left, entry)
		}
	}
	return left
}

func groupOf(same []Entry) Entry {
	one, names := same[0], make([]string, 0, namedInGroup)
	for _, entry := range same[:namedInGroup] {
		names = append(names, entry.Service)
	}
	one.What = fmt.Sprintf("%s: %d services, %s and others", one.What, len(same), strings.Join(names, ", "))
	one.Service, one.Object, one.Evidence = "", "", nil
	return one
}
