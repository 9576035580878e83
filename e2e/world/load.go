package world

import (
	"context"
	"fmt"
	"math"
	"time"

	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
)

// Send sends requests to the App, by default on four connections to its path /, and
// gives their results.
func (s *App) Send(requests int, change ...func(*wire.Load)) wire.Report {
	s.t.Helper()
	load := wire.Load{Target: s.target, Host: s.Host, Path: "/", Requests: requests, Connections: 4, Reloads: s.reloads}
	for _, one := range change {
		one(&load)
	}
	var report wire.Report
	err := s.callActor(s.t.Context(), actorRequest{namespace: actorNamespace, pod: trafficName, path: wire.PathRun, body: load}, &report)
	must(s.t, err, "send %d requests to %s", requests, s.Host)
	return report
}

// Header is a change for Send and Stream that adds a header.
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

// To is a change for Send and Stream to another path.
func To(path string) func(*wire.Load) { return func(load *wire.Load) { load.Path = path } }

// Host is a change for Send and Stream to another host.
func Host(host string) func(*wire.Load) { return func(load *wire.Load) { load.Host = host } }

// Calls is a change for Send and Stream to calls of gRPC. Some of them take a second, so
// there are more connections.
func Calls(load *wire.Load) { load.GRPC, load.Connections, load.Reloads = true, 16, false }

// ByTLS is a change for Send and Stream of Calls to the controller's port with TLS.
func (s *App) ByTLS(load *wire.Load) { load.TLS, load.Target = true, s.tlsTarget }

// sample is the number of requests from which a percentage is measured.
const sample = 400

// ExpectSplit sends requests and fails the scenario unless Split accepts the result.
func (s *App) ExpectSplit(percent float64, change ...func(*wire.Load)) {
	s.t.Helper()
	must(s.t, Split(s.Send(sample, change...), percent), "%s", s.Host)
}

// WaitForSplit repeats ExpectSplit until it succeeds.
func (s *App) WaitForSplit(percent float64, change ...func(*wire.Load)) {
	s.t.Helper()
	Eventually(s.t, fmt.Sprintf("%g %% of %s on new", percent, s.Host), func(context.Context) error {
		return Split(s.Send(sample, change...), percent)
	})
}

// Split gives nil if the report shows the percentage and no failure. The number of
// answers of new must be within five standard deviations of a random split (one report
// in two million is outside), and both sides must have answered unless it is 0 or 100.
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

// Stream is a load in the background.
type Stream struct {
	app  *App
	name string
	end  *wire.Report
}

// Stream starts a load of 100 requests a second on four connections. It ends with the
// scenario at the latest.
func (s *App) Stream(change ...func(*wire.Load)) *Stream {
	s.t.Helper()
	load := wire.Load{
		Name: s.Service + "-" + rand.String(5), Target: s.target, Host: s.Host, Path: "/", Connections: 4, Rate: 100, Reloads: s.reloads,
	}
	for _, one := range change {
		one(&load)
	}
	Eventually(s.t, "an answer from "+load.Host, func(context.Context) error {
		first := s.Send(1, append(change, only(1))...)
		if first.Failed > 0 {
			return fmt.Errorf("%v", first.Failures)
		}
		return nil
	})
	stream := &Stream{app: s, name: load.Name}
	err := s.callActor(s.t.Context(), actorRequest{namespace: actorNamespace, pod: trafficName, path: wire.PathStart, body: load}, &wire.Report{})
	must(s.t, err, "start a stream to %s", s.Host)
	s.t.Cleanup(stream.stopIfRunning)
	return stream
}

// stopIfRunning ends the load at the end of the scenario.
func (s *Stream) stopIfRunning() {
	if s.end != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), Timeout)
	defer cancel()
	q := actorRequest{namespace: actorNamespace, pod: trafficName, path: wire.PathStop, params: map[string]string{"name": s.name}, body: struct{}{}}
	if err := s.app.callActor(ctx, q, &wire.Report{}); err != nil {
		s.app.t.Errorf("end stream %s: %v", s.name, err)
	}
}

// Watch gives the results so far.
func (s *Stream) Watch() wire.Report {
	s.app.t.Helper()
	return s.callActor(actorRequest{path: wire.PathWatch})
}

// ClockOffset is how far the load generator's clock is ahead of this program's. It is exact to
// half the time of the request.
func (s *Stream) ClockOffset() time.Duration {
	s.app.t.Helper()
	sent := time.Now()
	now := s.Watch().Now
	return now.Sub(sent.Add(time.Since(sent) / 2))
}

// Stop ends the load and gives the results of all requests.
func (s *Stream) Stop() wire.Report {
	s.app.t.Helper()
	if s.end == nil {
		report := s.callActor(actorRequest{path: wire.PathStop, body: struct{}{}})
		s.end = &report
	}
	return *s.end
}

func (s *Stream) callActor(q actorRequest) wire.Report {
	s.app.t.Helper()
	q.namespace, q.pod, q.params = actorNamespace, trafficName, map[string]string{"name": s.name}
	var report wire.Report
	must(s.app.t, s.app.callActor(s.app.t.Context(), q, &report), "call stream %s", s.name)
	return report
}

// StopWithoutLoss ends the load, and fails the scenario if a request failed.
func (s *Stream) StopWithoutLoss() wire.Report {
	s.app.t.Helper()
	report := s.Stop()
	if report.Failed > 0 || report.Sent == 0 {
		fatal(s.app.t, "%d of %d requests to %s failed: %v", report.Failed, report.Sent, s.app.Host, report.Failures)
	}
	return report
}
