package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// The names of the program as a kubectl plugin: kubectl finds both in $PATH,
// runs the first for `kubectl migration ...`, and the second for completions.
const (
	pluginName     = "kubectl-migration"
	completionName = "kubectl_complete-migration"
)

// argumentsFor gives the arguments of the command. Called by the name of a
// plugin, the program also uses that name in its help and errors.
func argumentsFor(root *cobra.Command, args []string) []string {
	name := filepath.Base(args[0])
	if name != pluginName && name != completionName {
		return args[1:]
	}
	root.Use = pluginName
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl migration"}
	renameInHelp(root)
	if name == completionName {
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}

// renameInHelp changes the name of the program in examples and texts.
func renameInHelp(cmd *cobra.Command) {
	names := strings.NewReplacer("migration-proxy ", "kubectl migration ")
	cmd.Example, cmd.Long = names.Replace(cmd.Example), names.Replace(cmd.Long)
	for _, command := range cmd.Commands() {
		renameInHelp(command)
	}
}
