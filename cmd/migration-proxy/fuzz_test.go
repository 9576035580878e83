package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fuzzPatience is far above what any of these commands takes.
const fuzzPatience = 30 * time.Second

// FuzzArguments: whatever stands on the command line, a command that only
// reads ends in time, with a known exit code, and writes no file. Arguments
// are separated by newlines; CONFIG stands for a config file.
func FuzzArguments(f *testing.F) {
	for _, seed := range cliSeeds(f) {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Setenv("KUBECONFIG", filepath.Join(dir, "none")) // no cluster is asked
	config := filepath.Join(dir, "migration.yaml")
	text, err := os.ReadFile("testdata/arguments/migration.yaml")
	require.NoError(f, err)
	require.NoError(f, os.WriteFile(config, text, 0o600))
	f.Fuzz(func(t *testing.T, line string) {
		t.Chdir(dir) // not before: the fuzzer's own processes start where we are
		args := harmlessArguments(strings.Split(line, "\n"), config)
		if args == nil {
			return
		}
		code, out := runCommand(t, args)
		require.Contains(t, []int{exitOK, exitFailed, exitUsage}, code, "%q: %s", args, out)
		require.Equal(t, []string{"migration.yaml"}, namesIn(t, dir), "%q wrote a file", args)
		now, err := os.ReadFile(config)
		require.NoError(t, err)
		require.Equal(t, text, now, "%q changed the config", args)
	})
}

func cliSeeds(f *testing.F) []string {
	files, err := filepath.Glob("testdata/arguments/*.txt")
	require.NoError(f, err)
	require.NotEmpty(f, files)
	var seeds []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		seeds = append(seeds, strings.TrimSuffix(string(text), "\n"))
	}
	return seeds
}

// harmlessArguments keeps to commands that touch nothing: no update without
// --dry-run, no render into a folder or with look-ups, no status that goes on
// for ever; and every proxy that is asked is a dead one. nil means: not tried.
func harmlessArguments(args []string, config string) []string {
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, "CONFIG", config)
	}
	if slices.ContainsFunc(args, touches) {
		return nil
	}
	switch {
	case slices.Contains(args, "update"):
		return append(slices.Insert(args, slices.Index(args, "update")+1, "--dry-run"), "--http=127.0.0.1:1")
	case slices.Contains(args, "status"):
		return append(args, "--http=127.0.0.1:1")
	}
	reading := []string{"validate", "render", "explain", "version", "help", "completion", "exit-codes", "__complete"}
	if slices.ContainsFunc(args, func(arg string) bool { return slices.Contains(reading, arg) }) {
		return args
	}
	return nil
}

// touches are the flags and commands that do more than read, also when they
// are written in a shorter way.
func touches(arg string) bool {
	for _, flag := range []string{"--dir", "--resolve", "--watch", "--no-wait", "--dry-run", "--http"} {
		if strings.HasPrefix(arg, flag) {
			return true
		}
	}
	return slices.Contains([]string{"run", "demo", "fallback", "recover", "restore", "--"}, arg)
}

// runCommand is run without the process around it.
func runCommand(t *testing.T, args []string) (code int, output string) {
	ctx, cancel := context.WithTimeout(t.Context(), fuzzPatience)
	defer cancel()
	root := newRoot()
	var out bytes.Buffer
	root.SetArgs(args)
	root.SetIn(strings.NewReader("services: ["))
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(ctx)
	require.NoError(t, ctx.Err(), "%q takes too long", args)
	switch {
	case err == nil:
		return exitOK, out.String()
	case errors.As(err, new(usageError)):
		return exitUsage, err.Error()
	}
	require.NotEmpty(t, err.Error(), "%q fails without a word", args)
	return exitFailed, err.Error()
}

func namesIn(t *testing.T, dir string) []string {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}
