package explain

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/migration-proxy/migration-proxy/migration"
)

// Question is a request as flags describe it.
type Question struct {
	Host, Path   string
	Headers      []string // NAME=VALUE
	Cookies      []string // NAME=VALUE
	ForwardedFor string
	IP           string // "" is not known
	Direct       bool   // the request came in on the always-new listener
	Tripped      bool   // the service's fallback has tripped
}

// Request is a Question that has been checked.
type Request struct {
	question Question
	header   http.Header
	peer     netip.Addr
}

// Parse checks the question. The error names the flag that is wrong.
func Parse(q Question) (Request, error) {
	header, err := q.header()
	if err != nil {
		return Request{}, err
	}
	peer, err := q.peer()
	return Request{question: q, header: header, peer: peer}, err
}

// header is the header of the request as a server would receive it.
func (q Question) header() (http.Header, error) {
	if q.Host == "" {
		return nil, errors.New("--host is missing: the Host header decides which service is meant")
	}
	header := http.Header{}
	for _, text := range q.Headers {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--header %q: write NAME=VALUE", text)
		}
		header.Add(name, strings.TrimSpace(value))
	}
	for _, text := range q.Cookies {
		if name, _, ok := strings.Cut(text, "="); !ok || name == "" {
			return nil, fmt.Errorf("--cookie %q: write NAME=VALUE", text)
		}
		header.Add("Cookie", text)
	}
	if q.ForwardedFor != "" {
		header.Add("X-Forwarded-For", q.ForwardedFor)
	}
	return header, nil
}

// peer is the address that the request comes from; invalid when not known.
func (q Question) peer() (netip.Addr, error) {
	if q.IP == "" {
		return netip.Addr{}, nil
	}
	addr, err := netip.ParseAddr(q.IP)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("--ip %q: write an address like 10.1.2.3 or 2001:db8::1", q.IP)
	}
	return addr.Unmap(), nil
}

// Notes says which headers are dropped, and which are repeated: versions of nginx read
// these differently.
func (r Request) Notes(table *migration.Table) []string {
	kept := table.Global().Keep(r.header)
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(r.header)) {
		values := r.header[name]
		switch {
		case kept[name] == nil:
			notes = append(notes, fmt.Sprintf("note: %s is dropped, as drop_invalid_headers says", name))
		case len(values) > 1 && name != "Cookie":
			notes = append(notes, fmt.Sprintf("note: %s is repeated: read as %q; nginx before 1.23 reads the first alone",
				name, strings.Join(values, ", ")))
		}
	}
	return notes
}

// Decide answers the question with the config.
func (r Request) Decide(table *migration.Table) Answer {
	forwarded := strings.Join(r.header.Values("X-Forwarded-For"), ", ")
	client := migration.ClientAddress(r.peer, forwarded, table.Global().TrustedProxies)
	decision := table.Decide(migration.Request{
		Host: r.question.Host, Target: r.question.Path, Header: migration.FoldHeaders(table.Global().Keep(r.header), true),
		Client: client, Direct: r.question.Direct, Tripped: r.question.Tripped,
	})
	return newAnswer(decision, client)
}
