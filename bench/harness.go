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

// harness has what all parts use: the programs, a directory and the output.
type harness struct {
	out     io.Writer
	dir     string
	proxy   string // our binary
	nginx   string
	haproxy string
	wrk     string
	rounds  int
	short   bool
	folders int // number of directories made by folder
}

func newHarness(ctx context.Context, out io.Writer, rounds int, short bool) (*harness, error) {
	h := &harness{out: out, rounds: rounds, short: short}
	if h.rounds <= 0 {
		h.rounds = 5
		if short {
			h.rounds = 3
		}
	}
	if err := h.findPrograms(); err != nil {
		return nil, err
	}
	if _, err := cpuTime(os.Getpid()); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(memoryDir(), "mp-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	h.dir = dir
	// When we are root, nginx's workers run as another user.
	if err := errors.Join(os.Chmod(dir, 0o755), h.build(ctx)); err != nil {
		return nil, errors.Join(err, h.close())
	}
	return h, nil
}

// memoryDir is a directory in memory, or "" (the system's temporary directory)
// where there is none.
func memoryDir() string {
	const shm = "/dev/shm"
	if info, err := os.Stat(shm); err == nil && info.IsDir() {
		return shm
	}
	return ""
}

func (h *harness) close() error { return os.RemoveAll(h.dir) }

// findPrograms looks in the same directories as hack/need.sh.
func (h *harness) findPrograms() error {
	if err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/usr/local/sbin"); err != nil {
		return err
	}
	var problems error
	for _, program := range []struct {
		variable, name string
		into           *string
	}{{"MIGRATION_PROXY_NGINX", "nginx", &h.nginx}, {"HAPROXY", "haproxy", &h.haproxy}, {"WRK", "wrk", &h.wrk}} {
		path, err := exec.LookPath(cmp.Or(os.Getenv(program.variable), program.name))
		if err != nil {
			err = fmt.Errorf("%w: install it (make bench does on Debian) or set $%s", err, program.variable)
		}
		problems = errors.Join(problems, err)
		*program.into = path
	}
	// nginx reads inherited sockets from $NGINX, and $SSL_CERT_FILE would replace the
	// system's root certificates.
	return errors.Join(problems, os.Unsetenv("NGINX"), os.Unsetenv("SSL_CERT_FILE"))
}

// build builds migration-proxy as the Makefile does.
func (h *harness) build(ctx context.Context) error {
	h.proxy = filepath.Join(h.dir, "migration-proxy")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", h.proxy, "./cmd/migration-proxy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build migration-proxy (is this the repository's folder?): %w\n%s", err, output)
	}
	return nil
}

// folder makes a new directory. Its name is short, because the path of a unix
// socket in it is limited.
func (h *harness) folder() (string, error) {
	h.folders++
	dir := filepath.Join(h.dir, fmt.Sprint(h.folders))
	return dir, os.Mkdir(dir, 0o755)
}

// sizes are the numbers of services to measure with. A ConfigMap of 1 MiB holds 2,400.
func (h *harness) sizes() []int {
	if h.short {
		return []int{1, 100}
	}
	return []int{1, 100, 1000, 2400}
}

func (h *harness) printf(format string, args ...any) { fmt.Fprintf(h.out, format, args...) }

// table prints rows of cells as a Markdown table; the first row is the head.
func (h *harness) table(rows [][]string) error {
	w := tabwriter.NewWriter(h.out, 0, 0, 1, ' ', 0)
	for i, row := range rows {
		fmt.Fprintln(w, "| "+strings.Join(row, "\t| ")+"\t|")
		if i == 0 {
			fmt.Fprintln(w, "|"+strings.Repeat("---\t|", len(row)))
		}
	}
	return w.Flush()
}

// describeMachine prints the machine and the versions, on which all figures depend.
func (h *harness) describeMachine() {
	h.printf("%d CPUs (%s), Linux %s, load %s\n", runtime.NumCPU(), cpuModel(), firstWord("/proc/sys/kernel/osrelease", 1), firstWord("/proc/loadavg", 1))
	for _, program := range []string{h.nginx, h.haproxy, h.wrk} {
		output, _ := exec.Command(program, "-v").CombinedOutput() // wrk prints its version with status 1
		line, _, _ := strings.Cut(string(output), "\n")
		h.printf("%s\n", line)
	}
	h.printf("%s, files in %s, %d rounds\n", runtime.Version(), filepath.Dir(h.dir), h.rounds)
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
