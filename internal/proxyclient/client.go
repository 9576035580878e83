// Package proxyclient asks the HTTP API of one proxy replica (/status, /evidence,
// /metrics, /health, /ready).
//
// Takes:
//   - the host:port of the replica
//
// Gives:
//   - the answer, or the parsed status.Status or status.Evidence
//
// Refuses:
//   - an answer other than 200 (AnswerError), and one that is no document of a proxy
//   - to go through $HTTP_PROXY: that is for the internet, not for pods
package proxyclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/history"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// The paths of the documents.
const (
	StatusPath      = "/status"       // everything
	BriefStatusPath = "/status?brief" // what tells the health of the replica: no requests and latencies
	ComparisonPath  = "/comparison"   // in what both sides of a service differ; with a query
	EvidencePath    = "/evidence"     // what was counted for services with a ramp
	HistoryPath     = "/history"      // the last hours of ?service=NAME
)

// answerLimit, in bytes, is far above the status of ten thousand services.
const answerLimit = 64 << 20

// AnswerError is an answer other than 200.
type AnswerError struct {
	URL    string
	Status string // "404 Not Found"
}

// Error implements error.
func (e AnswerError) Error() string { return e.URL + " answers " + e.Status }

// Client keeps one connection per replica for a minute. It is safe for
// concurrent use.
type Client struct{ http http.Client }

// New makes a client. It sends no request.
func New() *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{}).DialContext,
		IdleConnTimeout:     time.Minute,
		MaxIdleConnsPerHost: 1,
	}}}
}

// Get reads a path, which may have a query, from the replica at host:port. It
// waits until ctx ends.
func (c *Client) Get(ctx context.Context, address, path string) ([]byte, error) {
	target := "http://" + address + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // only read
	if response.StatusCode != http.StatusOK {
		return nil, AnswerError{URL: target, Status: response.Status}
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", target, err)
	}
	return text, nil
}

// Status reads the status of the replica at host:port: as a document, and as
// it was sent. The error is ErrNotAStatus if something else answers there.
func (c *Client) Status(ctx context.Context, address string) (status.Status, []byte, error) {
	text, err := c.Get(ctx, address, StatusPath)
	if err != nil {
		return status.Status{}, nil, err
	}
	document, err := ParseStatus(text)
	return document, text, err
}

// What an answer is not that is another document than that of its path.
var (
	ErrNotAStatus  = errors.New("the answer is not a proxy's status")
	errNotEvidence = errors.New("the answer is not the evidence of a proxy")
	errNotAHistory = errors.New("the answer is not the history of a service")
)

// ParseStatus reads an answer of /status. The error is ErrNotAStatus, with the
// reason if it is no JSON.
func ParseStatus(text []byte) (status.Status, error) {
	return parse(text, ErrNotAStatus, func(s *status.Status) bool { return !s.StartedAt.IsZero() })
}

// ParseEvidence reads an answer of /evidence. Its errors are like those of ParseStatus.
func ParseEvidence(text []byte) (status.Evidence, error) {
	return parse(text, errNotEvidence, func(e *status.Evidence) bool { return !e.StartedAt.IsZero() })
}

// ParseHistory reads an answer of /history. Its errors are like those of ParseStatus.
func ParseHistory(text []byte) (history.Document, error) {
	return parse(text, errNotAHistory, func(h *history.Document) bool { return h.IntervalSeconds != 0 })
}

func parse[T any](text []byte, wrong error, valid func(*T) bool) (T, error) {
	var document, none T
	if err := json.Unmarshal(text, &document); err != nil {
		return none, fmt.Errorf("%w: %w", wrong, err)
	}
	if !valid(&document) {
		return none, wrong
	}
	return document, nil
}

// CheckAddress refuses what is not a host:port.
func CheckAddress(address string) error {
	parsed, err := url.Parse("http://" + address)
	if err != nil || parsed.Host != address {
		return errors.New("write HOST:PORT")
	}
	return nil
}
