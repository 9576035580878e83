package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const environmentPrefix = "MIGRATION_PROXY_"

// variable is the environment variable of a flag: that of --local-config is
// MIGRATION_PROXY_LOCAL_CONFIG.
func variable(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// environmentOf marks the flags that may come from the environment: those that
// belong to a machine and not to one call of the command.
func environmentOf(flags *pflag.FlagSet, names ...string) {
	for _, name := range names {
		must(flags.SetAnnotation(name, environmentPrefix, []string{variable(name)}))
	}
}

// documentEnvironment adds the name of the variable to the help of each flag.
func documentEnvironment(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if name, ok := flag.Annotations[environmentPrefix]; ok {
			flag.Usage += fmt.Sprintf(" [$%s]", name[0])
		}
	})
}

// fromEnvironment sets the flags that are not on the command line from their
// variables.
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
