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

// interrupted is the exit status of shells after Ctrl-C.
const interrupted = 130

func main() {
	began := time.Now()
	progress := func(doing string) { fmt.Printf("%5.1fs  %s\n", time.Since(began).Seconds(), wrapped(doing)) }
	os.Exit(world.Main(progress, func(cluster *world.Cluster) int {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		// One Ctrl-C arrives up to three times: from the terminal, and forwarded by
		// each process of localcluster.Isolate. A second one ends the demo at once.
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

// wrapped breaks a long line before each option.
func wrapped(line string) string {
	const width = 100
	if len(line) <= width {
		return line
	}
	return strings.ReplaceAll(line, " --", " \\\n            --")
}

// demo runs the story; it is a world.T.
type demo struct {
	cluster       *world.Cluster
	ctx           context.Context
	app           *world.App
	stream        *world.Stream
	before        string // the Ingress before opt-in, as JSON
	cleanups      []func()
	claims, wrong int
	steps         int
}

// play runs the steps until one fails, and then the cleanups.
func (d *demo) play() {
	d.cluster.OnCommand = d.printCommand
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
	d.ctx = context.WithoutCancel(d.ctx) // failures of the cleanups count
	d.cluster.OnCommand = nil
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		d.cleanups[i]()
	}
}

// printCommand prints a command as the user types it.
func (d *demo) printCommand(command world.Command) {
	var words []string
	for _, word := range command.Args {
		if strings.ContainsAny(word, " {") {
			word = "'" + word + "'"
		}
		words = append(words, word)
	}
	fmt.Printf("   $ %s %s\n", command.Program, strings.Join(words, " "))
}

// show prints the output of a command.
func (d *demo) show(output string) {
	for line := range strings.Lines(output) {
		if strings.TrimSpace(line) != "" {
			fmt.Printf("     %s\n", strings.TrimRight(line, "\n"))
		}
	}
}

// claim prints a claim and whether it holds. After an interrupt it counts nothing.
func (d *demo) claim(holds bool, format string, args ...any) {
	if d.ctx.Err() != nil {
		return
	}
	d.claims++
	result := "ok    "
	if !holds {
		result = "WRONG "
		d.wrong++
	}
	fmt.Printf("   "+result+format+"\n", args...)
}

// The methods of world.T.

func (d *demo) Helper()                  {}
func (d *demo) Name() string             { return "shop" }
func (d *demo) Failed() bool             { return false } // never print the logs
func (d *demo) Context() context.Context { return d.ctx }
func (d *demo) Cleanup(f func())         { d.cleanups = append(d.cleanups, f) }

func (d *demo) Logf(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

func (d *demo) Errorf(format string, args ...any) { d.claim(false, format, args...) }

func (d *demo) FailNow() { runtime.Goexit() }
