package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/migration-proxy/migration-proxy/config"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args...)) }

// run is the whole program but for the end of the process.
func run(args ...string) int {
	root := newRoot()
	root.SetArgs(calledAs(root, args))
	command, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	report(os.Stderr, command.CommandPath(), err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

// report prints an error the way editors and people want it: the problems of
// a config stand alone, one per line and beginning with their place.
func report(w io.Writer, command string, err error) {
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		fmt.Fprintln(w, problems)
	case errors.As(err, new(usageError)):
		fmt.Fprintf(w, "%s: %v\nSee '%s --help'.\n", command, err, command)
	default:
		fmt.Fprintf(w, "%s: %v\n", command, err)
	}
}

// usageError is a command line that makes no sense: exit code 2.
type usageError struct{ error }

func wrongUsage(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// Unwrap keeps the cause reachable.
func (e usageError) Unwrap() error { return e.error }
