package nginx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/nginxgen"
)

// Nginx is an nginx binary and the directory it runs in.
type Nginx struct {
	Path    string // of the binary
	Version nginxgen.Version
	PCREJIT bool   // it can compile regular expressions to machine code
	Dir     string // absolute

	workerUser string // see CheckWorkers
}

// oldestVersion is the first version with the flag -e.
var oldestVersion = nginxgen.Version{Major: 1, Minor: 19, Patch: 5}

// sbinDirs are where packages install nginx; they are in the $PATH of root
// only.
var sbinDirs = []string{"/usr/local/sbin", "/usr/sbin"}

// lookPath is exec.LookPath that also searches sbinDirs, after $PATH.
func lookPath(binary string) (string, error) {
	path, err := exec.LookPath(binary)
	if err == nil || filepath.Base(binary) != binary {
		return path, err
	}
	for _, dir := range sbinDirs {
		if path, sbinErr := exec.LookPath(filepath.Join(dir, binary)); sbinErr == nil {
			return path, nil
		}
	}
	return "", err
}

// Find finds the binary (a path, or a name on $PATH or in an sbin directory)
// and reads its version.
func Find(ctx context.Context, binary, dir string) (*Nginx, error) {
	path, err := lookPath(binary)
	if err != nil {
		return nil, fmt.Errorf("find nginx: %w; install it or name it with --nginx", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "-V").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("read the version of %s: %w: %s", path, err, bytes.TrimSpace(output))
	}
	version, err := nginxgen.ParseVersion(string(output))
	if err != nil {
		return nil, fmt.Errorf("read the version of %s: %w", path, err)
	}
	if version.Before(oldestVersion) {
		return nil, fmt.Errorf("%s is nginx %s: version %s or newer is needed", path, version, oldestVersion)
	}
	return &Nginx{Path: path, Version: version, PCREJIT: hasPCREJIT(ctx, path), Dir: dir, workerUser: workerUser(string(output))}, nil
}

// hasPCREJIT asks nginx itself, which depends on how it and its PCRE library were built.
// The config has nothing else in it, so the test fails in any case.
func hasPCREJIT(ctx context.Context, path string) bool {
	cmd := exec.CommandContext(ctx, path, "-t", "-e", "stderr", "-c", os.DevNull, "-g", "pcre_jit on; pid "+os.DevNull+";")
	cmd.Env = environment()
	output, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	return errors.As(err, &failed) && bytes.Contains(output, []byte(`no "events" section`)) && !bytes.Contains(output, []byte("[warn]"))
}

func (n *Nginx) path(name string) string { return filepath.Join(n.Dir, name) }

func (n *Nginx) currentConf() string { return filepath.Join(n.Dir, "current", "nginx.conf") }

// Problems are nginx's own lines about a config or a start.
type Problems []string

// Error joins all lines with semicolons.
func (p Problems) Error() string { return strings.Join(p, "; ") }

// problemLevel matches lines other than "syntax is ok".
var problemLevel = regexp.MustCompile(`\[(warn|error|crit|alert|emerg)\]`)

// testTimeout ends an nginx that hangs, for example on a file of a dead network
// mount; 5,000 services take 13 s.
const testTimeout = 2 * time.Minute

// Test checks a config file with nginx -t. Every problem that nginx prints, also
// a warning, is an error of type Problems. It takes about a second for a
// thousand services.
func (n *Nginx) Test(ctx context.Context, conf string) error {
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.Path, "-t", "-p", n.Dir, "-c", conf, "-e", "stderr")
	cmd.Dir, cmd.Env = n.Dir, environment()
	output, err := cmd.CombinedOutput()
	if problems := parseProblems(string(output)); len(problems) > 0 {
		return problems
	}
	if err != nil {
		return fmt.Errorf("nginx -t: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// environment is this program's without NGINX: nginx reads it as a list of
// sockets to inherit, and users may have set it to the path of a binary.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "NGINX=") })
}

// linePrefix is "nginx: [emerg] " or "2024/01/01 12:00:00 [emerg] 12#12: ".
var linePrefix = regexp.MustCompile(`^(?:nginx: |\S+ \S+ )\[(\w+)\] (?:\d+#\d+: )?`)

func parseProblems(output string) Problems {
	var problems Problems
	for line := range strings.Lines(output) {
		if problemLevel.MatchString(line) {
			problems = append(problems, withoutPatterns(linePrefix.ReplaceAllString(strings.TrimSpace(line), "[$1] ")))
		}
	}
	return problems
}

// quotedPattern finds what nginx says about a regular expression after the reason:
// 'pcre2_compile() failed: missing ) in "a(b" at "(b"', and
// 'pcre2_exec() failed: -47 on "VALUE" using "a+b"'.
var quotedPattern = regexp.MustCompile(`(pcre2?_(?:compile|exec)\(\) failed: .*?) (?:in|on) ".*`)

// withoutPatterns removes patterns from a line of nginx: a client that knows what a header
// rule matches can use it.
func withoutPatterns(line string) string { return quotedPattern.ReplaceAllString(line, "$1") }

// start runs a new master in its own process group, by which its workers are
// found if the master dies first. It inherits no files.
func (n *Nginx) start() (*Process, error) {
	sockets, _ := filepath.Glob(n.path("old-*")) // of standby servers; the pattern is valid
	own := []string{n.path("nginx.pid"), n.path("admin.sock"), n.path("loop.sock"), n.path(nginxgen.CompareOldSocket), n.path(nginxgen.CompareNewSocket)}
	for _, stale := range append(sockets, own...) {
		if err := os.Remove(stale); err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("remove a file of the previous nginx: %w", err)
		}
	}
	cmd := exec.Command(n.Path, "-p", n.Dir, "-c", n.currentConf(), "-e", n.path("error.log"))
	cmd.Dir, cmd.Env = n.Dir, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start nginx: %w", err)
	}
	p := &Process{handle: cmd.Process, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // its error log has the reason
		close(p.exited)
	}()
	return p, nil
}
