package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/names"
)

// TestHelp: each command's help fits a screen and shows how it is used.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, command := range newRoot().Commands() {
		if !command.Runnable() {
			continue
		}
		t.Run(command.Name(), func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, command.Example)
			require.Less(t, len(command.Short), 70)
			var help bytes.Buffer
			command.SetOut(&help)
			require.NoError(t, command.Help())
			require.Less(t, strings.Count(help.String(), "\n"), 50)
			for line := range strings.Lines(command.Long) {
				require.LessOrEqual(t, len(line), 81, line)
			}
		})
	}
}

// TestEveryFlagOfRunHasAVariable: a container is configured by either.
func TestEveryFlagOfRunHasAVariable(t *testing.T) {
	t.Parallel()
	command, _, err := newRoot().Find([]string{"run"})
	require.NoError(t, err)
	command.LocalFlags().VisitAll(func(flag *pflag.Flag) {
		if flag.Name != "help" {
			require.Contains(t, flag.Usage, "[$"+names.EnvironmentVariable(flag.Name)+"]")
		}
	})
}

func TestTheFlagWinsOverTheVariable(t *testing.T) {
	t.Setenv("MIGRATION_PROXY_LISTEN", "127.0.0.1:1")
	t.Setenv("MIGRATION_PROXY_HTTP", "127.0.0.1:2")
	var options runOptions
	command := &cobra.Command{}

	options.flags(command)
	require.NoError(t, command.ParseFlags([]string{"--listen", ":3"}))
	require.NoError(t, fromEnvironment(command))
	require.Equal(t, ":3", options.listen.String())
	require.Equal(t, "127.0.0.1:2", options.dataPlane.HTTP.String())
	require.Equal(t, ":8001", options.listenNew.String())
}
