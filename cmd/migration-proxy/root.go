package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

const exitCodes = `  0  done
  1  what was asked for failed: an invalid config, a proxy that cannot be
     reached or does not serve the change in time, a claim that does not hold
  2  wrong usage: an unknown command or flag, a value that makes no sense`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "migration-proxy",
		Short: "Move live traffic from an old to a new cluster, percent by percent",
		Long: `Move live traffic from an old to a new cluster, percent by percent, with an
instant and automatic way back.

New here? 'migration-proxy demo' shows it all in half a minute and changes
nothing on this machine.

Exit codes:
` + exitCodes,
		Args:                       knownCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return wrongUsage("say which command") },
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) }
	root.AddCommand(
		newRun(), newWebhook(), newValidate(), newRender(), newExplain(), newUpdate(), newStatus(), newRestore(), newFallback(), newRecover(),
		newDemo(), newVersion(), newExitCodes(),
	)
	for _, command := range root.Commands() {
		documentEnvironment(command)
	}
	strict(root)
	return root
}

// strict makes cobra's own commands refuse what they do not know with exit
// code 2, as ours do; by themselves they print help and end with 0.
func strict(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help":
			command.Run, command.RunE = nil, helpTopic
			command.Example = "  migration-proxy help exit-codes"
		case "completion":
			command.Args = knownCommand
			command.Example = "  source <(migration-proxy completion bash)"
			command.RunE = func(*cobra.Command, []string) error { return wrongUsage("say for which shell") }
			for _, shell := range command.Commands() {
				shell.Args = exactly()
			}
		}
	}
}

func helpTopic(cmd *cobra.Command, args []string) error {
	topic, rest, err := cmd.Root().Find(args)
	if err != nil || topic == cmd.Root() && len(rest) > 0 {
		return wrongUsage("unknown help topic %q", strings.Join(args, " "))
	}
	topic.InitDefaultHelpFlag()
	return topic.Help()
}

func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  "Every command ends with one of these exit codes:\n\n" + exitCodes,
	}
}

// knownCommand refuses what is no subcommand, and names the nearest ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return wrongUsage("unknown command %q%s", args[0], hint)
}

// exactly wants as many arguments as there are names, and calls the first
// missing one by its name.
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

// atMost wants no more arguments than there are names.
func atMost(names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > len(names) {
			return wrongUsage("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}

// oneOf checks a flag that takes one of a few words.
func oneOf(flag, value string, words ...string) error {
	for _, word := range words {
		if value == word {
			return nil
		}
	}
	return wrongUsage("--%s %q: use %s", flag, value, strings.Join(words, ", "))
}

// completeWords offers fixed words for a flag. Only a flag that does not
// exist can fail, which is a defect.
func completeWords(cmd *cobra.Command, flag string, words ...string) {
	must(cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

func must(err error) {
	if err != nil {
		panic(fmt.Sprintf("defect: %v", err))
	}
}
