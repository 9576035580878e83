package config

import (
	"bytes"
	"regexp"
	"sort"
	"unicode/utf8"

	"github.com/migration-proxy/migration-proxy/migration"
	"gopkg.in/yaml.v3"
)

// Loader loads the versions of one text, one after the other, as Load does.
// When a version differs from the one before in the digits of one percentage
// only, which is what most edits are, nothing else is read again: with 5,000
// services that takes 8 ms instead of 160. Not safe for concurrent use.
type Loader struct {
	text    []byte
	table   *migration.Table
	numbers []digits // where percentages stand in text, in its order
}

// digits are where one service's percentage stands in the text.
type digits struct {
	service    migration.Name
	start, end int
}

// Load reads the next version; see the function Load. After an error the
// version before is still the one to compare with.
func (l *Loader) Load(name string, text []byte) (*migration.Table, error) {
	if l.edited(text) {
		return l.table, nil
	}
	root, err := parse(name, text)
	if err != nil {
		return nil, err
	}
	table, err := load(name, root)
	if err != nil {
		return nil, err
	}
	l.text, l.table, l.numbers = bytes.Clone(text), table, numbers(text, root)
	return table, nil
}

// plainNumber is what a percentage may look like for the short way; whatever
// else it may be, or may not, the long way knows.
var plainNumber = regexp.MustCompile(`^(?:0|[1-9][0-9]?|100)(?:\.[0-9]{1,2})?$`)

// edited takes the short way, if there is one: what differs lies within one
// number, and is a number again.
//
//	... percentage: 20\n ...      the first 42 bytes are the same,
//	... percentage: 25.5\n ...    and the last 17
func (l *Loader) edited(text []byte) bool {
	if l.table == nil {
		return false
	}
	start := commonPrefix(l.text, text)
	tail := commonSuffix(l.text[start:], text[start:])
	i := sort.Search(len(l.numbers), func(i int) bool { return l.numbers[i].end >= start })
	if i == len(l.numbers) || start < l.numbers[i].start || len(l.text)-tail > l.numbers[i].end {
		return false
	}
	grown := len(text) - len(l.text)
	found := l.numbers[i]
	written := text[found.start : found.end+grown]
	if !plainNumber.Match(written) {
		return false
	}
	share, err := migration.ParseShare(string(written))
	if err != nil {
		return false
	}
	l.text, l.table = bytes.Clone(text), l.table.WithShare(found.service, share)
	l.numbers[i].end += grown
	for j := i + 1; j < len(l.numbers); j++ {
		l.numbers[j].start += grown
		l.numbers[j].end += grown
	}
	return true
}

// leap is how many bytes are compared at once, as long as they are equal.
const leap = 4096

func commonPrefix(a, b []byte) int {
	n, at := min(len(a), len(b)), 0
	for at+leap <= n && bytes.Equal(a[at:at+leap], b[at:at+leap]) {
		at += leap
	}
	for at < n && a[at] == b[at] {
		at++
	}
	return at
}

func commonSuffix(a, b []byte) int {
	n, at := min(len(a), len(b)), 0
	for at+leap <= n && bytes.Equal(a[len(a)-at-leap:len(a)-at], b[len(b)-at-leap:len(b)-at]) {
		at += leap
	}
	for at < n && a[len(a)-1-at] == b[len(b)-1-at] {
		at++
	}
	return at
}

// numbers finds the percentages of a text that has loaded, in one walk over
// its lines. Only plain numbers are taken: nothing but their own characters
// says where they end.
func numbers(text []byte, root *yaml.Node) []digits {
	var found []digits
	at, line := len(text)-len(bytes.TrimPrefix(text, []byte(bom))), 1
	for _, service := range find(root, "services").Content {
		node := find(service, "migration", "percentage")
		if node == nil || !plainNumber.MatchString(node.Value) {
			continue
		}
		for ; line < node.Line; line++ {
			at += lineLength(text[at:])
		}
		start := at + columns(text[at:], node.Column-1)
		name := migration.Name(find(service, "name").Value)
		found = append(found, digits{name, start, start + len(node.Value)})
	}
	return found
}

// columns is the number of bytes that some characters take.
func columns(text []byte, characters int) int {
	at := 0
	for ; characters > 0 && at < len(text); characters-- {
		_, size := utf8.DecodeRune(text[at:])
		at += size
	}
	return at
}
