package world

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// Send sends a number of requests to the site, by default four at a time to
// its path /, and gives what became of them.
func (s *Site) Send(requests int, change ...func(*wire.Load)) wire.Report {
	s.t.Helper()
	load := wire.Load{Host: s.Host, Path: "/", Requests: requests, Connections: 4}
	for _, one := range change {
		one(&load)
	}
	var report wire.Report
	err := s.ask(s.t.Context(), question{namespace: stageNamespace, pod: trafficName, path: wire.PathRun, body: load}, &report)
	must(s.t, err, "send %d requests to %s", requests, s.Host)
	return report
}

// Header is a change for Send and Stream.
func Header(name, value string) func(*wire.Load) {
	return func(load *wire.Load) {
		if load.Header == nil {
			load.Header = map[string]string{}
		}
		load.Header[name] = value
	}
}

func only(requests int) func(*wire.Load) {
	return func(load *wire.Load) { load.Requests, load.Rate = requests, 0 }
}

// To is a change for Send and Stream: another path.
func To(path string) func(*wire.Load) { return func(load *wire.Load) { load.Path = path } }

// Host is a change for Send and Stream: another host.
func Host(host string) func(*wire.Load) { return func(load *wire.Load) { load.Host = host } }

// sample is how many requests show a share.
const sample = 400

// ExpectSplit sends requests and fails the scenario unless Split accepts what
// became of them.
func (s *Site) ExpectSplit(percent float64, change ...func(*wire.Load)) {
	s.t.Helper()
	must(s.t, Split(s.Send(sample, change...), percent), "%s", s.Host)
}

// AwaitSplit is ExpectSplit for a share that is on its way.
func (s *Site) AwaitSplit(percent float64, change ...func(*wire.Load)) {
	s.t.Helper()
	Await(s.t, fmt.Sprintf("%g %% of %s on new", percent, s.Host), func(context.Context) error {
		return Split(s.Send(sample, change...), percent)
	})
}

// Split gives nil if the report shows the percentage, with no failure: new's
// part within five standard deviations of a fair dice (one in two million is
// outside), and both sides asked unless it is 0 or 100.
func Split(report wire.Report, percent float64) error {
	n, p := float64(report.Sent), percent/100
	tolerance := 5 * math.Sqrt(n*p*(1-p))
	if report.Failed > 0 {
		return fmt.Errorf("%d of %d requests failed: %v", report.Failed, report.Sent, report.Failures)
	}
	got := float64(report.Sides[New])
	if math.Abs(got-n*p) > tolerance || p > 0 && got == 0 || p < 1 && got == n {
		return fmt.Errorf("%g of %g requests on new, want %g %% ± %.1f: %v", got, n, percent, tolerance, report.Sides)
	}
	return nil
}

// Stream is a load that goes on in the background.
type Stream struct {
	site *Site
	name string
	end  *wire.Report
}

// Stream begins a load of a hundred requests a second on four connections. It
// ends with the scenario at the latest.
func (s *Site) Stream(change ...func(*wire.Load)) *Stream {
	s.t.Helper()
	load := wire.Load{Name: s.Service + "-" + rand.String(5), Host: s.Host, Path: "/", Connections: 4, Rate: 100}
	for _, one := range change {
		one(&load)
	}
	Await(s.t, "an answer from "+load.Host, func(context.Context) error {
		first := s.Send(1, append(change, only(1))...)
		if first.Failed > 0 {
			return fmt.Errorf("%v", first.Failures)
		}
		return nil
	})
	stream := &Stream{site: s, name: load.Name}
	err := s.ask(s.t.Context(), question{namespace: stageNamespace, pod: trafficName, path: wire.PathStart, body: load}, &wire.Report{})
	must(s.t, err, "start a stream to %s", s.Host)
	s.t.Cleanup(stream.abandon)
	return stream
}

// abandon ends the load at the scenario's end, if nobody did.
func (s *Stream) abandon() {
	if s.end != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	q := question{namespace: stageNamespace, pod: trafficName, path: wire.PathStop, params: map[string]string{"name": s.name}, body: struct{}{}}
	if err := s.site.ask(ctx, q, &wire.Report{}); err != nil {
		s.site.t.Errorf("end stream %s: %v", s.name, err)
	}
}

// Watch gives what became of the requests so far.
func (s *Stream) Watch() wire.Report {
	s.site.t.Helper()
	return s.ask(question{path: wire.PathWatch})
}

// ClockAhead is how far the load generator's clock is ahead of ours, within
// half the time of the question.
func (s *Stream) ClockAhead() time.Duration {
	s.site.t.Helper()
	asked := time.Now()
	now := s.Watch().Now
	return now.Sub(asked.Add(time.Since(asked) / 2))
}

// Stop ends the load and gives what became of all requests.
func (s *Stream) Stop() wire.Report {
	s.site.t.Helper()
	if s.end == nil {
		report := s.ask(question{path: wire.PathStop, body: struct{}{}})
		s.end = &report
	}
	return *s.end
}

func (s *Stream) ask(q question) wire.Report {
	s.site.t.Helper()
	q.namespace, q.pod, q.params = stageNamespace, trafficName, map[string]string{"name": s.name}
	var report wire.Report
	must(s.site.t, s.site.ask(s.site.t.Context(), q, &report), "ask about stream %s", s.name)
	return report
}

// StopLossless ends the load; a request that failed fails the scenario.
func (s *Stream) StopLossless() wire.Report {
	s.site.t.Helper()
	report := s.Stop()
	if report.Failed > 0 || report.Sent == 0 {
		fatal(s.site.t, "%d of %d requests to %s failed: %v", report.Failed, report.Sent, s.site.Host, report.Failures)
	}
	return report
}
