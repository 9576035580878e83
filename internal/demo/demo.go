package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/atomicfile"
	"github.com/migration-proxy/migration-proxy/internal/demo/recording"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// timeout is how long the demo waits for anything that needs a moment.
const timeout = 20 * time.Second

// Options say how the demo runs.
type Options struct {
	Out   io.Writer
	Nginx string // path or name of the binary
	Keep  bool   // leave everything running at the end, until a signal
	Fast  bool   // watch fewer requests per step
	UI    bool   // no steps: a sample migration to look at, until a signal

	Record string // a file for the recording of all steps, as SVG; "": none
}

// recordingTitle is what a screen reader says in the place of the recording.
const recordingTitle = "A recording of migration-proxy demo: traffic moves from the old to the new cluster and back, the new cluster dies under load, and old answers instead."

var errInterrupted = errors.New("interrupted; everything was cleaned up")

// demo is a running demonstration.
type demo struct {
	*sandbox
	out         io.Writer
	traffic     *traffic
	watched     int // requests that each share is measured with
	steps       int
	wrongClaims int
	lostPosts   int // POSTs in flight when the new cluster was killed
}

// Run runs the demo and cleans up. The error says how many claims did not hold,
// or why the demo could not go on; a failed demo leaves its logs.
func Run(ctx context.Context, options Options) (err error) {
	// SIGPIPE is handled too: "demo | head" must not leave a proxy behind.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	sandbox, err := newSandbox(ctx, options.Nginx)
	switch {
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	defer func() { err = sandbox.close(ctx, err) }()
	d := &demo{sandbox: sandbox, out: options.Out, watched: 1000}
	if options.Fast {
		d.watched = 300
	}
	if options.UI {
		return d.live(ctx)
	}
	recorder := &recording.Recorder{Out: options.Out}
	d.out = recorder
	if err := d.play(ctx); err != nil {
		return fmt.Errorf("%w; logs and config are in %s", err, sandbox.dir)
	}
	if options.Record != "" {
		if err := atomicfile.Write(options.Record, recorder.SVG(recordingTitle), 0o644); err != nil {
			return fmt.Errorf("write the recording: %w", err)
		}
	}
	if options.Keep {
		d.keepRunning(ctx)
	}
	return nil
}

// play runs the steps. An error means that the demo could not go on; claims
// that did not hold are counted and reported at the end.
func (d *demo) play(ctx context.Context) error {
	d.introduce()
	d.traffic = startTraffic(ctx, request{proxy: d.listen, host: "shop.example.com", path: "/orders"}, rate)
	defer d.traffic.stop()
	for _, step := range []func(context.Context) error{
		d.startOnOld,
		d.moveTo5,
		d.moveTo50,
		d.saveInvalidConfig,
		d.moveTo100,
		d.moveBack,
		d.matchHeaderRule,
		d.keepUsersOnTheirSide,
		d.climb,
		d.killNew,
		d.reviveNew,
		d.moveBackAtTheEnd,
		d.countPosts,
	} {
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return d.conclude()
}

func (d *demo) introduce() {
	d.print(`Migration proxy: a whole migration on this machine

  old cluster  %-23s  serves shop.example.com
  new cluster  %-23s  serves shop.new.example.com, with a certificate of its own CA
  proxy        %-23s  where clients ask for shop.example.com
  traffic      %d requests a second, half GET and half POST, and it never stops
  page         %-23s  in a browser, while this runs

The commands below are short because $%sLOCAL_CONFIG names the
migration config and $%sHTTP the proxy.`,
		d.old.url(), d.new.url(), "http://"+d.listen, rate, "http://"+d.http+"/", names.EnvironmentPrefix, names.EnvironmentPrefix)
}

func (d *demo) conclude() error {
	total := d.traffic.stop()
	d.beginStep("In all")
	d.claim(total.totalFailed() == d.lostPosts, "%d of %d requests failed", total.totalFailed(), total.sent)
	for failure, times := range total.failures {
		d.print("         %d times %s", times, failure)
	}
	if d.wrongClaims > 0 {
		return fmt.Errorf("%d claims did not hold", d.wrongClaims)
	}
	d.print(`
Every claim held.

Where to look next
  your own config    migration-proxy validate FILE, then: run --local-config FILE
  one request        migration-proxy explain FILE --host HOST --header NAME=VALUE
  what nginx gets    migration-proxy render FILE
  what is served     migration-proxy status --http localhost:8080 --watch`)
	return nil
}

func (d *demo) keepRunning(ctx context.Context) {
	d.print(`
Still running; Ctrl-C ends it and cleans up. In a browser: http://%s/
From another terminal:

  cd %s
  export %sLOCAL_CONFIG=%s %sHTTP=%s
  migration-proxy update shop 25
  curl -i -H 'Host: shop.example.com' http://%s/
  curl http://%s/status`, d.http, d.dir, names.EnvironmentPrefix, configFile, names.EnvironmentPrefix, d.http, d.listen, d.http)
	<-ctx.Done()
}

func (d *demo) print(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// beginStep prints the heading of a numbered step.
func (d *demo) beginStep(title string) {
	d.steps++
	d.print("\n%d. %s", d.steps, title)
}

// claim prints an observation, and whether it is the promised one.
func (d *demo) claim(holds bool, format string, args ...any) {
	mark := "ok    "
	if !holds {
		mark = "WRONG "
		d.wrongClaims++
	}
	d.print("   "+mark+format, args...)
}
