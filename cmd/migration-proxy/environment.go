package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// environmentPrefix is also the annotation of the flags that have a variable.
const environmentPrefix = names.EnvironmentPrefix

// environmentOf marks the flags of a command that may come from the
// environment: what belongs to a machine and not to one question.
func environmentOf(flags *pflag.FlagSet, flagNames ...string) {
	for _, name := range flagNames {
		must(flags.SetAnnotation(name, environmentPrefix, []string{names.EnvironmentVariable(name)}))
	}
}

// documentEnvironment adds each variable's name to its flag's help.
func documentEnvironment(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if name, ok := flag.Annotations[environmentPrefix]; ok {
			flag.Usage += fmt.Sprintf(" [$%s]", name[0])
		}
	})
}

// fromEnvironment sets the flags that were not given from their variables.
func fromEnvironment(cmd *cobra.Command) error {
	var failed error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		name, ok := flag.Annotations[environmentPrefix]
		if !ok || flag.Changed || failed != nil {
			return
		}
		value, set := os.LookupEnv(name[0])
		if !set || value == "" {
			return
		}
		if err := cmd.Flags().Set(flag.Name, value); err != nil {
			failed = wrongUsage("$%s: %w", name[0], err)
		}
	})
	return failed
}
