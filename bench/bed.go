package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"text/tabwriter"
)

// bed is what all parts use: the programs, a directory, and where to print.
type bed struct {
	out     io.Writer
	dir     string
	proxy   string // our binary, freshly built
	nginx   string
	haproxy string
	wrk     string
	rounds  int
	short   bool
	folders int // made so far, see folder
}

func newBed(ctx context.Context, out io.Writer, rounds int, short bool) (*bed, error) {
	b := &bed{out: out, rounds: rounds, short: short}
	if b.rounds <= 0 {
		b.rounds = 7
		if short {
			b.rounds = 3
		}
	}
	if err := b.findPrograms(); err != nil {
		return nil, err
	}
	if _, err := cpuTime(os.Getpid()); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(memoryDir(), "mp-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	b.dir = dir
	// nginx's workers are another user when we are root.
	if err := errors.Join(os.Chmod(dir, 0o755), b.build(ctx)); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// memoryDir is where files never reach a disk; "" (the system's temporary
// directory) when there is no such place.
func memoryDir() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}

func (b *bed) close() error { return os.RemoveAll(b.dir) }

// findPrograms looks where hack/need.sh looks.
func (b *bed) findPrograms() error {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/local/sbin"); err != nil {
		return err
	}
	var problems error
	for _, program := range []struct {
		variable, name string
		into           *string
	}{{"MIGRATION_PROXY_NGINX", "nginx", &b.nginx}, {"HAPROXY", "haproxy", &b.haproxy}, {"WRK", "wrk", &b.wrk}} {
		path, err := exec.LookPath(cmp.Or(os.Getenv(program.variable), program.name))
		if err != nil {
			err = fmt.Errorf("%w; install it (make bench does on Debian) or set $%s", err, program.variable)
		}
		problems = errors.Join(problems, err)
		*program.into = path
	}
	// To nginx itself $NGINX names sockets that it inherits; and the system's
	// roots are those of the system.
	return errors.Join(problems, os.Unsetenv("NGINX"), os.Unsetenv("SSL_CERT_FILE"))
}

// build makes the binary as the Makefile does.
func (b *bed) build(ctx context.Context) error {
	b.proxy = filepath.Join(b.dir, "migration-proxy")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.proxy, "./cmd/migration-proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build migration-proxy (is this the repository's folder?): %w\n%s", err, output)
	}
	return nil
}

// folder makes a new directory with a short name: a unix socket goes there.
func (b *bed) folder() (string, error) {
	b.folders++
	dir := filepath.Join(b.dir, fmt.Sprint(b.folders))
	return dir, os.Mkdir(dir, 0o755)
}

// sizes are the numbers of services that we measure with.
func (b *bed) sizes() []int {
	if b.short {
		return []int{1, 100}
	}
	return []int{1, 100, 1000, 5000}
}

func (b *bed) printf(format string, args ...any) { fmt.Fprintf(b.out, format, args...) }

// table prints rows of cells, aligned; the first row is the head.
func (b *bed) table(rows [][]string) error {
	w := tabwriter.NewWriter(b.out, 0, 0, 1, ' ', 0)
	for i, row := range rows {
		fmt.Fprintln(w, "| "+strings.Join(row, "\t| ")+"\t|")
		if i == 0 {
			fmt.Fprintln(w, "|"+strings.Repeat("---\t|", len(row)))
		}
	}
	return w.Flush()
}

// describeMachine prints what figures depend on.
func (b *bed) describeMachine() {
	b.printf("%d CPUs (%s), Linux %s, load %s\n", runtime.NumCPU(), cpuModel(), firstWord("/proc/sys/kernel/osrelease", 1), firstWord("/proc/loadavg", 1))
	for _, program := range []string{b.nginx, b.haproxy, b.wrk} {
		output, _ := exec.Command(program, "-v").CombinedOutput() // wrk says it with status 1
		line, _, _ := strings.Cut(string(output), "\n")
		b.printf("%s\n", line)
	}
	b.printf("%s, files in %s, %d rounds\n", runtime.Version(), filepath.Dir(b.dir), b.rounds)
}

func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(string(text), "model name")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimLeft(line, "\t :")
}

func firstWord(file string, n int) string {
	text, err := os.ReadFile(file)
	words := strings.Fields(string(text))
	if err != nil || len(words) < n {
		return "unknown"
	}
	return words[n-1]
}
