package world

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// programs are the paths of the commands that users run, and of the images' binaries.
type programs struct {
	kubectl, helm  string
	current, older string // two builds of migration-proxy, with different versions
	actor          string
}

// The versions of the two builds of migration-proxy.
const (
	currentVersion = "v0.2.0-e2e"
	olderVersion   = "v0.1.9-e2e"
)

// findPrograms builds our programs into bin/e2e and finds the others.
func findPrograms(ctx context.Context, root string) (programs, error) {
	dir := filepath.Join(root, "bin", "e2e")
	found := programs{
		current: filepath.Join(dir, "current", "migration-proxy"), older: filepath.Join(dir, "older", "migration-proxy"),
		actor: filepath.Join(dir, "actor"),
	}
	var err [2]error
	found.kubectl, err[0] = findProgram("kubectl")
	found.helm, err[1] = findProgram("helm")
	if err := errors.Join(err[:]...); err != nil {
		return found, err
	}
	// One after the other: the second build finds all packages in Go's cache.
	for _, binary := range []struct{ path, source, version string }{
		{found.current, "./cmd/migration-proxy", currentVersion},
		{found.older, "./cmd/migration-proxy", olderVersion},
		{found.actor, "./e2e/actor", currentVersion},
	} {
		if err := build(ctx, root, binary.source, binary.path, binary.version); err != nil {
			return found, err
		}
	}
	return found, nil
}

// build has no flags or settings that tests do not have: with others, such as those of a
// release, go compiles all dependencies once more, for more than two minutes on 2 CPUs.
func build(ctx context.Context, root, source, program, version string) error {
	command := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-X main.version="+version, "-o", program, source)
	command.Dir = root
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", source, err, output)
	}
	return nil
}

// findProgram looks in the control plane's folder, then in PATH.
func findProgram(name string) (string, error) {
	path, err := controlplane.Program(name)
	if err == nil {
		return path, nil
	}
	if path, lookErr := exec.LookPath(name); lookErr == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w (and it is not in PATH)", err)
}

// Result is the output and the exit code of a command.
type Result struct {
	Output string // standard output and error, as they came
	Code   int
}

// commandTimeout is passed to commands that wait themselves (helm, kubectl rollout),
// so that they can say what is not ready. They are killed 30 s later.
const commandTimeout = 3 * time.Minute

// command runs a program with the cluster's kubeconfig.
func (c *Cluster) command(ctx context.Context, input string, env []string, program string, args ...string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout+30*time.Second)
	defer cancel()
	began := time.Now()
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = c.dir
	command.Stdin = strings.NewReader(input)
	command.Env = append(append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HOME="+c.dir, "TMPDIR="+c.dir), env...)
	output, err := command.CombinedOutput()
	if err != nil && ctx.Err() != nil {
		return Result{}, fmt.Errorf("killed after %s (%w): %s", time.Since(began).Round(time.Second), ctx.Err(), output)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Result{}, fmt.Errorf("run %s: %w", filepath.Base(program), err)
	}
	return Result{Output: string(output), Code: command.ProcessState.ExitCode()}, nil
}

// Command is a command as a user types it.
type Command struct {
	Program string // kubectl, helm or migration-proxy
	Args    []string
	Input   string   // standard input
	Env     []string // added to the environment
}

// Try runs a command and gives its result.
func (c *Cluster) Try(t T, command Command) Result {
	t.Helper()
	program, known := map[string]string{
		"kubectl": c.programs.kubectl, "helm": c.programs.helm, "migration-proxy": c.programs.current,
	}[command.Program]
	if !known {
		fatal(t, "unknown program %q", command.Program)
	}
	if c.OnCommand != nil {
		c.OnCommand(command)
	}
	result, err := c.command(t.Context(), command.Input, command.Env, program, patient(command)...)
	must(t, err, "%s %s", command.Program, strings.Join(command.Args, " "))
	return result
}

// patient gives the arguments of a command. migration-proxy update waits for as long as
// the other commands: its own 10 s are for users, and many scenarios at once need longer
// for a reload.
func patient(command Command) []string {
	if command.Program != "migration-proxy" || command.Args[0] != "update" {
		return command.Args
	}
	return append(slices.Clone(command.Args), "--timeout", commandTimeout.String())
}

// Run runs a command that must succeed, and gives its output.
func (c *Cluster) Run(t T, command Command) string {
	t.Helper()
	result := c.Try(t, command)
	if result.Code != 0 {
		fatal(t, "%s %s ended with exit code %d:\n%s", command.Program, strings.Join(command.Args, " "), result.Code, result.Output)
	}
	return result.Output
}

// Kubectl runs kubectl, which must succeed.
func (c *Cluster) Kubectl(t T, args ...string) string {
	t.Helper()
	return c.Run(t, Command{Program: "kubectl", Args: args})
}

// Proxy runs migration-proxy, which must succeed, as a user of the installation does.
func (c *Cluster) Proxy(t T, args ...string) string {
	t.Helper()
	c.edits.RLock()
	defer c.edits.RUnlock()
	return c.Run(t, c.ProxyCommand(args...))
}

// ProxyCommand is a migration-proxy command for Try.
func (c *Cluster) ProxyCommand(args ...string) Command {
	return Command{Program: "migration-proxy", Args: append(args, "--namespace", Namespace)}
}
