package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// The names that make us a plugin of kubectl: it finds them in $PATH, runs the
// first for `kubectl migration ...`, and asks the second for completions.
const (
	pluginName     = "kubectl-migration"
	completionName = "kubectl_complete-migration"
)

// calledAs lets the program speak of itself as it was called, and gives the
// arguments that are meant.
func calledAs(root *cobra.Command, args []string) []string {
	name := filepath.Base(args[0])
	if name != pluginName && name != completionName {
		return args[1:]
	}
	root.Use = pluginName
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl migration"}
	rename(root)
	if name == completionName {
		return append([]string{cobra.ShellCompRequestCmd}, args[1:]...)
	}
	return args[1:]
}

// rename changes what is typed, in examples and texts.
func rename(cmd *cobra.Command) {
	typed := strings.NewReplacer("migration-proxy ", "kubectl migration ")
	cmd.Example, cmd.Long = typed.Replace(cmd.Example), typed.Replace(cmd.Long)
	for _, command := range cmd.Commands() {
		rename(command)
	}
}
