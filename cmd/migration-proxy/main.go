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
	exitUnsaid = 3
)

func main() { os.Exit(execute(os.Args...)) }

// execute runs the command and gives the exit code.
func execute(args ...string) int {
	root := newRoot()
	root.SetArgs(argumentsFor(root, args))
	command, err := root.ExecuteC()
	if err == nil {
		return exitOK
	}
	printError(os.Stderr, command.CommandPath(), err)
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	if errors.As(err, new(incompleteError)) {
		return exitUnsaid
	}
	return exitFailed
}

// printError prints an error. The problems of a config are lines that begin with
// their place, as editors and people expect them, without the command's name.
func printError(w io.Writer, command string, err error) {
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
