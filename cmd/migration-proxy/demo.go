package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

type demoOptions struct {
	keep, fast bool
	nginx      string
}

func newDemo() *cobra.Command {
	var options demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole migration on this machine, in half a minute",
		Long: `Show a whole migration on this machine, in half a minute: two sample clusters,
the proxy, and traffic that never stops. Each step runs the command that you
would type, then says what the clients saw. Everything lives in a temporary
folder and on 127.0.0.1, and is gone afterwards. It needs nginx and no root.

The exit code is 1 when any claim did not hold.`,
		Example: `  migration-proxy demo
  migration-proxy demo --keep   # then try your own commands`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// SIGPIPE too: "demo | head" must not leave a proxy behind.
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
			defer stop()
			return demonstrate(ctx, cmd.OutOrStdout(), options)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&options.keep, "keep", false, "leave all running at the end, until Ctrl-C")
	flags.BoolVar(&options.fast, "fast", false, "watch fewer requests per step")
	flags.StringVar(&options.nginx, "nginx", "nginx", "nginx binary")
	environmentOf(flags, "nginx")
	return cmd
}

// demo is one demonstration under way.
type demo struct {
	*demoWorld
	out     io.Writer
	traffic *demoTraffic
	enough  int // requests that a share is judged by
	steps   int
	broken  int // claims that did not hold
	lost    int // POSTs that were in flight when new died
}

var errInterrupted = errors.New("interrupted; everything was cleaned up")

func demonstrate(ctx context.Context, out io.Writer, options demoOptions) (err error) {
	world, err := newDemoWorld(ctx, options.nginx)
	switch {
	case err != nil && ctx.Err() != nil:
		return errInterrupted
	case err != nil:
		return err
	}
	defer func() { err = world.leave(ctx, err) }()
	d := &demo{demoWorld: world, out: out, enough: 1000}
	if options.fast {
		d.enough = 300
	}
	if err := d.play(ctx); err != nil {
		return fmt.Errorf("%w; logs and config are in %s", err, world.dir)
	}
	if options.keep {
		d.stay(ctx)
	}
	return nil
}

// play is the demonstration. An error is that it could not go on; claims that
// did not hold are counted and told at the end.
func (d *demo) play(ctx context.Context) error {
	d.introduce()
	d.traffic = startTraffic(ctx, d.listen)
	defer d.traffic.stop()
	for _, step := range []func(context.Context) error{
		d.beginOnOld, d.firstFew, d.half, d.slip, d.all, d.backToOld,
		d.headerRule, d.stickyUsers, d.newDies, d.newReturns, d.goBack, d.checkPosts,
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
	d.say(`Migration proxy: a whole migration on this machine

  old cluster  %-23s  serves shop.example.com
  new cluster  %-23s  serves shop.new.example.com, with a certificate of its own CA
  proxy        %-23s  where clients ask for shop.example.com
  traffic      %d requests a second, half GET and half POST, and it never stops

The commands below are short because $%sLOCAL_CONFIG names the
migration config and $%sHTTP the proxy.`,
		d.old.URL(), d.new.URL(), "http://"+d.listen, demoRate, environmentPrefix, environmentPrefix)
}

func (d *demo) conclude() error {
	total := d.traffic.stop()
	d.step("In all")
	d.claim(total.failures() == d.lost, "%d of %d requests failed", total.failures(), total.sent)
	for why, times := range total.why {
		d.say("         %d times %s", times, why)
	}
	if d.broken > 0 {
		return fmt.Errorf("%d claims did not hold", d.broken)
	}
	d.say(`
Every claim held.

Where to look next
  your own config    migration-proxy validate FILE, then: run --local-config FILE
  one request        migration-proxy explain FILE --host HOST --header NAME=VALUE
  what nginx gets    migration-proxy render FILE
  what is served     migration-proxy status --http localhost:8080 --watch`)
	return nil
}

func (d *demo) stay(ctx context.Context) {
	d.say(`
Still running; Ctrl-C ends it and cleans up. From another terminal:

  cd %s
  export %sLOCAL_CONFIG=%s %sHTTP=%s
  migration-proxy update shop 25
  curl -i -H 'Host: shop.example.com' http://%s/
  curl http://%s/status`, d.dir, environmentPrefix, demoFile, environmentPrefix, d.http, d.listen, d.http)
	<-ctx.Done()
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// step begins a numbered paragraph.
func (d *demo) step(title string) {
	d.steps++
	d.say("\n%d. %s", d.steps, title)
}

// claim prints what was observed, and whether it is what was promised.
func (d *demo) claim(holds bool, format string, args ...any) {
	verdict := "ok    "
	if !holds {
		verdict = "WRONG "
		d.broken++
	}
	d.say("   "+verdict+format, args...)
}
