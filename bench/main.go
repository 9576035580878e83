package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// part is one measurement.
type part struct {
	name, about string
	run         func(context.Context, *harness) error
	onRequest   bool // runs only when -only names it
}

var parts = []part{
	{"cpu", "CPU time per request of one worker, beside hand-written nginx and HAProxy", measureCPU, false},
	{"latency", "what a proxy adds to a request's time", measureLatency, false},
	{"weight", "from the edited file to the first request by the new share", measureWeight, false},

	{"admission", "what admission adds to the write of an Ingress, beside an empty webhook", measureAdmission, true},
	{"structure", "from the edited file to a reloaded nginx", measureStructure, false},
	{"memory", "memory of the agent and of nginx", measureMemory, false},
	{"losses", "requests lost while the config changes", measureLosses, false},
	{"trip", "from the fifth failure of new to the last request that tries it", measureTrip, false},
	{"instructions", "instructions per request in user space, counted by valgrind", measureInstructions, true},
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := bench(ctx, args, stdout, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func bench(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "measure only these parts, separated by commas: "+partNames())
	rounds := flags.Int("rounds", 0, "number of rounds of each comparison; 0 means 5, or 3 with -short")
	short := flags.Bool("short", false, "fewer rounds and at most 100 services, to check that it works")
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	h, err := newHarness(ctx, stdout, *rounds, *short)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	h.describeMachine()
	for _, p := range chosen {
		h.printf("\n## %s: %s\n\n", p.name, p.about)
		begun := time.Now()
		if err := p.run(ctx, h); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		h.printf("\n(%s took %s)\n", p.name, time.Since(begun).Round(time.Second))
	}
	return nil
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

// choose gives the parts that -only names, in the order of parts.
func choose(only string) ([]part, error) {
	var chosen []part
	var wanted []string
	if only != "" {
		wanted = strings.Split(only, ",")
	}
	for _, p := range parts {
		named := slices.Contains(wanted, p.name)
		if named || only == "" && !p.onRequest {
			chosen = append(chosen, p)
		}
		wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == p.name })
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("-only %s: no such part; the parts are %s", wanted[0], partNames())
	}
	return chosen, nil
}
