package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/golden"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
)

// TestCommandsPage: docs/commands.md is the help of all commands. make golden
// writes it.
func TestCommandsPage(t *testing.T) {
	t.Parallel()
	var page bytes.Buffer
	page.WriteString("# Commands\n\nThis page is made from the help of the program; `make golden` writes it.\n")
	root := newRoot()
	for _, command := range root.Commands() {
		if command.Name() == "help" || command.Name() == "completion" {
			continue
		}
		writeCommand(&page, command)
	}
	// The default depends on the user.
	text := strings.ReplaceAll(page.String(), dataplane.DefaultRuntimeDir(), "/run/migration-proxy")
	golden.Check(t, "../../docs/commands.md", []byte(text))
}

func writeCommand(page *bytes.Buffer, command *cobra.Command) {
	fmt.Fprintf(page, "\n## %s\n\n%s.\n\n```text\n%s\n```\n", command.Name(), command.Short, command.Long)
	if command.Runnable() {
		fmt.Fprintf(page, "\n```sh\n%s\n```\n", strings.TrimSpace(command.UseLine()))
	}
	if command.Example != "" {
		fmt.Fprintf(page, "\nExamples:\n\n```sh\n%s\n```\n", strings.ReplaceAll(strings.TrimSpace(command.Example), "\n  ", "\n"))
	}
	if flags := command.LocalFlags().FlagUsages(); flags != "" {
		fmt.Fprintf(page, "\nFlags:\n\n```text\n%s```\n", flags)
	}
}
