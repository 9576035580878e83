package testbed

import (
	"net/http"
	"slices"
	"sync"
)

// IDHeader names a request, so that a test can ask how often it arrived.
const IDHeader = "X-Testbed-Id"

// kept bounds the requests that a ledger remembers in full.
const kept = 1000

// Request is what a backend saw of one request when it arrived.
type Request struct {
	Method string
	Target string // byte for byte as it was on the request line
	Path   string // decoded
	ID     string // the IDHeader, or ""
	Host   string
	SNI    string // "" without TLS
	Client string // common name of the client's certificate, or ""
	Header http.Header
}

type visit struct{ method, path, id string }

// ledger counts all requests and remembers the last ones.
type ledger struct {
	mu     sync.Mutex
	total  int
	counts map[visit]int
	last   []Request // a ring once it is full
}

func recorded(r *http.Request) Request {
	request := Request{
		Method: r.Method, Target: r.RequestURI, Path: r.URL.Path, ID: r.Header.Get(IDHeader),
		Host: r.Host, Header: r.Header.Clone(),
	}
	if r.TLS != nil {
		request.SNI = r.TLS.ServerName
		if len(r.TLS.PeerCertificates) > 0 {
			request.Client = r.TLS.PeerCertificates[0].Subject.CommonName
		}
	}
	return request
}

func (l *ledger) add(request Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[visit]int{}
	}
	l.counts[visit{request.Method, request.Path, request.ID}]++
	if len(l.last) < kept {
		l.last = append(l.last, request)
	} else {
		l.last[l.total%kept] = request
	}
	l.total++
}

// Total counts the requests that arrived since the start or the last Reset.
func (b *Backend) Total() int {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	return b.ledger.total
}

// Count counts the requests with this method, decoded path and IDHeader.
func (b *Backend) Count(method, path, id string) int {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	return b.ledger.counts[visit{method, path, id}]
}

// Requests gives the last requests, 1000 at most, oldest first.
func (b *Backend) Requests() []Request {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	oldest := 0
	if b.ledger.total > kept {
		oldest = b.ledger.total % kept
	}
	return slices.Concat(b.ledger.last[oldest:], b.ledger.last[:oldest])
}

// Reset forgets all requests. One count is kept for each different id until
// then.
func (b *Backend) Reset() {
	b.ledger.mu.Lock()
	defer b.ledger.mu.Unlock()
	b.ledger.total, b.ledger.counts, b.ledger.last = 0, nil, nil
}
