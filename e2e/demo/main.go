package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// interrupted is the exit status that shells give to Ctrl-C.
const interrupted = 130

func main() {
	began := time.Now()
	tell := func(doing string) { fmt.Printf("%5.1fs  %s\n", time.Since(began).Seconds(), wrapped(doing)) }
	os.Exit(world.Main(tell, func(cluster *world.Cluster) int {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		// One Ctrl-C arrives up to three times: from the terminal, and passed on
		// by each process of localcluster.Isolate. The next one ends it at once.
		context.AfterFunc(ctx, func() { time.AfterFunc(time.Second, stop) })
		d := &demo{cluster: cluster, ctx: ctx}
		d.play()
		if ctx.Err() != nil {
			fmt.Println("\ninterrupted")
			return interrupted
		}
		fmt.Printf("\n%d claims checked, %d wrong, %d s\n", d.claims, d.wrong, int(time.Since(began).Seconds()))
		return min(d.wrong, 1)
	}))
}

// wrapped breaks a long line before each further option.
func wrapped(line string) string {
	const width = 100
	if len(line) <= width {
		return line
	}
	return strings.ReplaceAll(line, " --", " \\\n            --")
}

// demo is the world.T of the story.
type demo struct {
	cluster       *world.Cluster
	ctx           context.Context
	site          *world.Site
	stream        *world.Stream
	before        string // the Ingress as its user wrote it
	cleanups      []func()
	claims, wrong int
	steps         int
}

// play goes through the steps until one cannot go on. Cleanups come last, in
// any case.
func (d *demo) play() {
	d.cluster.Typed = d.typed
	ended := make(chan struct{})
	go func() { // FailNow ends the goroutine
		defer close(ended)
		for _, step := range story {
			d.steps++
			fmt.Printf("\n%d. %s\n", d.steps, step.title)
			began := time.Now()
			step.run(d)
			fmt.Printf("   (%.1f s)\n", time.Since(began).Seconds())
		}
	}()
	<-ended
	d.ctx = context.WithoutCancel(d.ctx) // the cleanups' own faults count
	d.cluster.Typed = nil
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		d.cleanups[i]()
	}
}

// typed prints a command as the user types it.
func (d *demo) typed(command world.Command) {
	var words []string
	for _, word := range command.Args {
		if strings.ContainsAny(word, " {") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	fmt.Printf("   $ %s %s\n", command.Program, strings.Join(words, " "))
}

// show prints what a command printed.
func (d *demo) show(output string) {
	for line := range strings.Lines(output) {
		if strings.TrimSpace(line) != "" {
			fmt.Printf("     %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// claim prints what was observed, and whether it is what was promised. What
// fails because the user breaks off is no claim.
func (d *demo) claim(holds bool, format string, args ...any) {
	if d.ctx.Err() != nil {
		return
	}
	d.claims++
	verdict := "ok    "
	if !holds {
		verdict = "WRONG "
		d.wrong++
	}
	fmt.Printf("   "+verdict+format+"\n", args...)
}

// What follows makes a demo a world.T.

func (d *demo) Helper()                  {}
func (d *demo) Name() string             { return "shop" }
func (d *demo) Failed() bool             { return false } // nobody needs the logs
func (d *demo) Context() context.Context { return d.ctx }
func (d *demo) Cleanup(f func())         { d.cleanups = append(d.cleanups, f) }

func (d *demo) Logf(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

func (d *demo) Errorf(format string, args ...any) { d.claim(false, format, args...) }

func (d *demo) FailNow() { runtime.Goexit() }
