package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// usageError is a command line that makes no sense. The exit code is 2.
type usageError struct{ error }

// Unwrap gives the cause.
func (e usageError) Unwrap() error { return e.error }

// incompleteError says that what was printed needs a person. The exit code is 3.
type incompleteError struct{ error }

// Unwrap gives the cause.
func (e incompleteError) Unwrap() error { return e.error }

func wrongUsage(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// knownCommand refuses an unknown subcommand, and names similar ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "; did you mean " + strings.Join(similar, " or ") + "?"
	}
	return wrongUsage("unknown command %q%s", args[0], hint)
}

// exactly wants one argument per name. The error names the first missing one.
func exactly(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return wrongUsage("%s is missing", names[len(args)])
		case len(args) > len(names):
			return wrongUsage("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// atMost wants one argument per name, or fewer.
func atMost(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return wrongUsage("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// oneOf checks the value of a flag that takes one of a few words.
func oneOf(flag, value string, words ...string) error {
	for _, word := range words {
		if value == word {
			return nil
		}
	}
	return wrongUsage("--%s %q: use %s", flag, value, strings.Join(words, ", "))
}

// must is for errors that only a defect of the program can cause.
func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("defect: %v", err))
	}
}
