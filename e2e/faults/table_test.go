package faults

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// row is the result of one fault.
type row struct {
	group, name  string
	get, post    count
	duplicates   int
	timeToSafety string // time from the fault until no request fails any more
	status       string // the status
}

// count is a number of requests, and how many of them failed.
type count struct{ sent, failed int }

func (c count) String() string { return fmt.Sprintf("%d of %d", c.failed, c.sent) }

func (r row) String() string {
	return fmt.Sprintf("| %s | %s | %s | %d | %s | %s |", r.name, r.get, r.post, r.duplicates, r.timeToSafety, r.status)
}

// table collects the rows of all tests.
type table struct {
	mu   sync.Mutex
	rows []row
}

var results table

func (b *table) add(t *testing.T, r row) {
	t.Helper()
	t.Log(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, r)
}

// write writes the rows as Markdown; it does nothing without a file name.
func (b *table) write(file string) error {
	if file == "" {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.SortStableFunc(b.rows, func(a, b row) int { return cmp.Compare(a.group, b.group) })
	var text strings.Builder
	group := ""
	for _, r := range b.rows {
		if r.group != group {
			group = r.group
			fmt.Fprintf(&text, "\n%s\n\n| case | failed GET | failed POST | duplicated POST | time to safety | what status says |\n|---|---|---|---|---|---|\n", group)
		}
		fmt.Fprintln(&text, r)
	}
	return os.WriteFile(file, []byte(text.String()), 0o644)
}
