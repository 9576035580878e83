package sampling

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// taken are the keys of headers that each request has already, or that change its form.
var taken = []string{
	"accept", "accept_encoding", "connection", "content_length", "expect", "forwarded", "host", "keep_alive", "te", "trailer", "transfer_encoding",
	"upgrade", "user_agent", "x_migration_compare", "x_real_ip", "x_scheme",
}

// maxHeader is how long a value may be.
const maxHeader = 8 << 10

// ParseHeader reads "Name: value". No error has a part of the text that may be a secret.
func ParseHeader(text string) (Header, error) {
	before, value, found := strings.Cut(text, ":")
	name, err := migration.ParseHeaderName(before)
	if !found || err != nil {
		return Header{}, errors.New("no header: write 'Name: value', such as 'Cookie: session=...'")
	}
	value = strings.TrimSpace(value)
	unprintable := func(c rune) bool { return c < ' ' || c > '~' }
	switch {
	case value == "" || len(value) > maxHeader || strings.ContainsFunc(value, unprintable):
		return Header{}, fmt.Errorf("header %s: write a value of 1 to %d characters, printable ASCII only", name, maxHeader)
	case slices.Contains(taken, name.Key()) || strings.HasPrefix(name.Key(), "x_forwarded_"):
		return Header{}, fmt.Errorf("header %s: compare sets it itself, so that both sides get what they get from the proxy", name)
	}
	return Header{string(name), value}, nil
}
