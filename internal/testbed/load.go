package testbed

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// Load is a number of keep-alive clients of one URL. Each client sends its next
// request when it has the answer to the last one. Nothing is repeated: a request
// without a complete answer is an error.
type Load struct {
	URL         string      // http or https
	Method      string      // "" is GET
	Host        string      // Host header and SNI; "" is the host of the URL
	Header      http.Header // sent with each request
	Body        string
	TLS         *tls.Config // roots and client certificate towards https
	ID          string      // when set, request n carries IDHeader "ID-n", n from 1
	Connections int         // 0 is 1

	Rate     float64       // requests per second over all connections; 0 is as fast as possible
	Requests int           // end after this number; 0 is no limit
	Duration time.Duration // end after this time; 0 is no limit
	Timeout  time.Duration // for one request; 0 is 10 s

	// Reopen sends a request once more, on a new connection, when its kept connection
	// ends without a byte of an answer. It is for servers that end idle connections and
	// answer each request that they have read.
	Reopen bool

	// Each, if not nil, is called with every answer, by several goroutines at once.
	Each func(Answer)
}

// Answer is the result of one request.
type Answer struct {
	Backend string // BackendHeader of the answer, or ""
	Status  int    // 0 without a complete answer; then Err has the reason
	Err     error
	// Reopened tells that the request was sent once more, see Load.Reopen.
	Reopened bool
	// Latency is the time from when the request was due (with a Rate, not later than
	// when it was sent) to the last byte.
	Latency time.Duration
}

// Run sends requests until a limit is reached or the context ends, and waits for the
// requests in flight. It gives an error only for an invalid Load.
func (l Load) Run(ctx context.Context) (*Report, error) {
	target, err := l.check(ctx)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", l.URL, err)
	}
	if l.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.Duration)
		defer cancel()
	}
	run := &run{load: l, target: target, begun: time.Now()}
	reports := make([]*Report, max(l.Connections, 1))
	var clients sync.WaitGroup
	for i := range reports {
		clients.Go(func() { reports[i] = run.client(ctx) })
	}
	clients.Wait()
	return merge(reports, time.Since(run.begun)), nil
}

func (l Load) check(ctx context.Context) (*url.URL, error) {
	target, err := url.Parse(l.URL)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, errors.New("write http://host:port/path or https://host:port/path")
	}
	if l.Requests == 0 && l.Duration == 0 && ctx.Done() == nil {
		return nil, errors.New("it would never end: set Requests, Duration or a context that ends")
	}
	if l.Rate < 0 || l.Requests < 0 || l.Duration < 0 || l.Timeout < 0 {
		return nil, errors.New("a rate, count or time is negative")
	}
	_, err = http.NewRequest(l.Method, l.URL, nil)
	return target, err
}

// run is shared by the clients of one Run.
type run struct {
	load   Load
	target *url.URL
	begun  time.Time
	taken  atomic.Int64 // number of requests so far
}

// client sends one request after the other on one connection, and opens another
// connection when that one ends.
func (r *run) client(ctx context.Context) *Report {
	report := newReport()
	connection := &connection{run: r}
	defer connection.close()
	for {
		number := int(r.taken.Add(1))
		if r.load.Requests > 0 && number > r.load.Requests {
			break
		}
		due, ok := r.wait(ctx, number)
		if !ok {
			break
		}
		answer := connection.send(number)
		answer.Latency = time.Since(due)
		report.add(answer)
		if r.load.Each != nil {
			r.load.Each(answer)
		}
	}
	report.Connections = connection.opened
	return report
}

// wait blocks until the request is due. The times are fixed in advance: when a slow
// answer delays the next request, the latency of that request includes the delay.
func (r *run) wait(ctx context.Context, number int) (time.Time, bool) {
	if r.load.Rate == 0 {
		return time.Now(), ctx.Err() == nil
	}
	due := r.begun.Add(time.Duration(float64(number-1) / r.load.Rate * float64(time.Second)))
	return due, pause.For(ctx, time.Until(due))
}

func (l Load) request(number int) (*http.Request, error) {
	request, err := http.NewRequest(l.Method, l.URL, strings.NewReader(l.Body))
	if err != nil {
		return nil, err
	}
	if l.Header != nil {
		request.Header = l.Header.Clone()
	}
	if l.ID != "" {
		request.Header.Set(IDHeader, fmt.Sprintf("%s-%d", l.ID, number))
	}
	if l.Host != "" {
		request.Host = l.Host
	}
	return request, nil
}
