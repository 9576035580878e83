package testbed

import (
	"net/http"
	"slices"
	"sync"
)

// IDHeader identifies a request, so that a test can count how often it arrived.
const IDHeader = "X-Testbed-Id"

// maxRequests is the number of requests that are recorded completely.
const maxRequests = 1000

// Request is a request as it arrived at a backend.
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

type requestKey struct{ method, path, id string }

// requestLog counts all requests and records the last ones.
type requestLog struct {
	mu     sync.Mutex
	total  int
	counts map[requestKey]int
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

func (l *requestLog) add(request Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts == nil {
		l.counts = map[requestKey]int{}
	}
	l.counts[requestKey{request.Method, request.Path, request.ID}]++
	if len(l.last) < maxRequests {
		l.last = append(l.last, request)
	} else {
		l.last[l.total%maxRequests] = request
	}
	l.total++
}

// Total is the number of requests since the start or the last Reset.
func (b *Backend) Total() int {
	b.requestLog.mu.Lock()
	defer b.requestLog.mu.Unlock()
	return b.requestLog.total
}

// Count is the number of requests with this method, decoded path and IDHeader.
func (b *Backend) Count(method, path, id string) int {
	b.requestLog.mu.Lock()
	defer b.requestLog.mu.Unlock()
	return b.requestLog.counts[requestKey{method, path, id}]
}

// Requests gives the last requests, up to 1000, oldest first.
func (b *Backend) Requests() []Request {
	b.requestLog.mu.Lock()
	defer b.requestLog.mu.Unlock()
	oldest := 0
	if b.requestLog.total > maxRequests {
		oldest = b.requestLog.total % maxRequests
	}
	return slices.Concat(b.requestLog.last[oldest:], b.requestLog.last[:oldest])
}

// Reset deletes all records. Until then there is one counter for each different id.
func (b *Backend) Reset() {
	b.requestLog.mu.Lock()
	defer b.requestLog.mu.Unlock()
	b.requestLog.total, b.requestLog.counts, b.requestLog.last = 0, nil, nil
}
