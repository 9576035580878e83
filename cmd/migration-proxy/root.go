package main

import (
	"strings"

	"github.com/spf13/cobra"
)

const exitCodes = `  0  done
  1  the command failed: an invalid config, a proxy that cannot be reached or
     does not serve the change in time, a step of the demo with a wrong result
  2  wrong usage: an unknown command or flag, a value that makes no sense
  3  an object was printed that does not say everything (finish -o)`

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "migration-proxy",
		Short: "Move live traffic from an old to a new cluster, percent by percent",
		Long: `Move live traffic from an old to a new cluster, percent by percent, with an
instant and automatic way back.

New here? 'migration-proxy demo' shows it all in about a minute and changes
nothing on this machine.

Exit codes:
` + exitCodes,
		Args:                       knownCommand,
		RunE:                       func(*cobra.Command, []string) error { return wrongUsage("say which command") },
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) }
	root.AddCommand(
		newScan(), newCompare(), newRun(), newWebhook(), newValidate(), newRender(), newExplain(), newUpdate(), newStatus(), newCheck(), newUI(), newRamp(), newWait(), newDrill(), newFinish(), newReport(), newRestore(), newFallback(), newRecover(),
		newDemo(), newVersion(), newExitCodes(),
	)
	for _, command := range root.Commands() {
		documentEnvironment(command)
	}
	makeStrict(root)
	return root
}

func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  "Every command ends with one of these exit codes:\n\n" + exitCodes,
	}
}

// makeStrict makes cobra's own commands end with exit code 2 on an unknown
// argument, as all others do. By themselves they print help and end with 0.
func makeStrict(root *cobra.Command) {
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
