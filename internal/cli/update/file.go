package update

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/configfile"
	"github.com/migration-proxy/migration-proxy/internal/cli/oneproxy"
	"github.com/migration-proxy/migration-proxy/internal/cli/waiting"
	"github.com/migration-proxy/migration-proxy/internal/status"
)

// proxyInterval is how often the proxy is asked whether it serves the change.
const proxyInterval = 20 * time.Millisecond

// File is a migration config and the proxy that serves it.
type File struct {
	Path  string
	Proxy oneproxy.Proxy
}

// InFile changes the file, and waits until its proxy serves the change.
func InFile(ctx context.Context, w io.Writer, goal Goal, file File, options Options) error {
	_, text, err := configfile.Read(file.Path, nil)
	if err != nil {
		return err
	}
	planned, err := plan(goal, file.Path, text)
	if err != nil {
		return err
	}
	if options.DryRun {
		_, err := fmt.Fprintf(w, "%s would change; nothing was written\n%s", planned, planned.note(status.Service{}))
		return err
	}
	served, deviation := servedByProxy{proxy: file.Proxy, digest: planned.digest, timeout: options.Timeout}, ""
	if options.waits() {
		served.now, _, _ = file.Proxy.Status(ctx) // one that does not answer is reported by the waiting
		served.earlier = served.now.Config.Rejected
		deviation = deviationNote(served.row(planned), time.Now())
	}
	if !planned.isDone() {
		if err := atomicfile.Replace(file.Path, planned.before, planned.after); err != nil {
			return err
		}
	}
	if options.NoWait {
		_, err := fmt.Fprintf(w, "%s, written to %s\n%s", planned, file.Path, planned.note(status.Service{}))
		return err
	}
	written := time.Now()
	if err := waiting.Until(ctx, &served, waiting.Pace{Interval: proxyInterval, Timeout: options.Timeout}); err != nil {
		return fmt.Errorf("%s has the change, but it is not in force: %w", file.Path, err)
	}
	_, err = fmt.Fprintf(w, "%s, in force after %s\n%s%s", planned, time.Since(written).Round(time.Millisecond),
		planned.note(served.row(planned)), deviation)
	return err
}

// servedByProxy is the condition that one proxy serves the digest.
type servedByProxy struct {
	proxy   oneproxy.Proxy
	digest  string
	earlier *status.Rejected
	timeout time.Duration // for the message only
	now     status.Status // of the last check
}

func (s *servedByProxy) Check(ctx context.Context) error {
	now, _, err := s.proxy.Status(ctx)
	if err != nil {
		return err
	}
	s.now = now
	rejected := now.Config.Rejected
	switch {
	case now.Config.Digest == s.digest:
		return nil
	case isNewRejection(rejected, s.earlier):
		return waiting.FinalError{Cause: rejection("the proxy", rejected)}
	case rejected != nil:
		return rejection("the proxy", rejected)
	}
	return fmt.Errorf("after %s the proxy at %s still serves digest %s of %s; does it read this file?",
		s.timeout, s.proxy.Address(), now.Config.Digest, now.Config.Source)
}

// row is the status of the changed service at the last check.
func (s *servedByProxy) row(planned change) status.Service {
	if row := s.now.Row(string(planned.goal.service)); row != nil {
		return *row
	}
	return status.Service{}
}
