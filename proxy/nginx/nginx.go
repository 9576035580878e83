package nginx

import (
	"bytes"
	"context"
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

// Nginx is a binary and the directory it runs in.
type Nginx struct {
	Path    string
	Version nginxgen.Version
	Dir     string // absolute
}

// oldest is the first version with the flag -e.
var oldest = nginxgen.Version{Major: 1, Minor: 19, Patch: 5}

// sbins is where packages put nginx, and users other than root do not look.
var sbins = []string{"/usr/local/sbin", "/usr/sbin"}

// lookUp is exec.LookPath, with sbins after $PATH.
func lookUp(binary string) (string, error) {
	path, err := exec.LookPath(binary)
	if err == nil || filepath.Base(binary) != binary {
		return path, err
	}
	for _, dir := range sbins {
		if path, sbinErr := exec.LookPath(filepath.Join(dir, binary)); sbinErr == nil {
			return path, nil
		}
	}
	return "", err
}

// Find looks for the binary (a path, or a name on $PATH or in a usual place)
// and asks it once for its version.
func Find(ctx context.Context, binary, dir string) (*Nginx, error) {
	path, err := lookUp(binary)
	if err != nil {
		return nil, fmt.Errorf("finding nginx: %w; install it or name it with --nginx", err)
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	output, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w: %s", path, err, bytes.TrimSpace(output))
	}
	version, err := nginxgen.ParseVersion(string(output))
	if err != nil {
		return nil, fmt.Errorf("asking %s for its version: %w", path, err)
	}
	if version.Before(oldest) {
		return nil, fmt.Errorf("%s is nginx %s: version %s or newer is needed", path, version, oldest)
	}
	return &Nginx{Path: path, Version: version, Dir: dir}, nil
}

func (n *Nginx) path(name string) string { return filepath.Join(n.Dir, name) }

func (n *Nginx) conf() string { return filepath.Join(n.Dir, "current", "nginx.conf") }

// Problems are nginx's own lines about a config or a start.
type Problems []string

// Error gives all lines, parted by semicolons.
func (p Problems) Error() string { return strings.Join(p, "; ") }

// complaint finds the lines that say more than "syntax is ok".
var complaint = regexp.MustCompile(`\[(warn|error|crit|alert|emerg)\]`)

// longestTest is for an nginx that hangs, on a file of a dead network mount
// for instance; 5,000 services take 13 s.
const longestTest = 2 * time.Minute

// Test lets nginx check a config file without using it. Whatever nginx has to
// say, be it only a warning, is an error of type Problems. It takes about a
// second for a thousand services.
func (n *Nginx) Test(ctx context.Context, conf string) error {
	ctx, cancel := context.WithTimeout(ctx, longestTest)
	defer cancel()
	cmd := exec.CommandContext(ctx, n.Path, "-t", "-p", n.Dir, "-c", conf, "-e", "stderr")
	cmd.Dir, cmd.Env = n.Dir, environment()
	output, err := cmd.CombinedOutput()
	if problems := complaints(string(output)); len(problems) > 0 {
		return problems
	}
	if err != nil {
		return fmt.Errorf("nginx -t: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}

// environment is ours without NGINX, which names sockets to inherit, and which
// somebody may have set to the path of a binary.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "NGINX=") })
}

// speech is what stands before nginx's words: "nginx: [emerg] " or
// "2024/01/01 12:00:00 [emerg] 12#12: ".
var speech = regexp.MustCompile(`^(?:nginx: |\S+ \S+ )\[(\w+)\] (?:\d+#\d+: )?`)

func complaints(output string) Problems {
	var found Problems
	for line := range strings.Lines(output) {
		if complaint.MatchString(line) {
			found = append(found, speech.ReplaceAllString(strings.TrimSpace(line), "[$1] "))
		}
	}
	return found
}

// start runs a new master in a process group of its own, by which its workers
// are found should it die before them. It inherits nothing of ours.
func (n *Nginx) start() (*Process, error) {
	for _, stale := range []string{"nginx.pid", "admin.sock"} {
		if err := os.Remove(n.path(stale)); err != nil && !os.IsNotExist(err) {
			return nil, fmt.Errorf("removing what the last nginx left: %w", err)
		}
	}
	cmd := exec.Command(n.Path, "-p", n.Dir, "-c", n.conf(), "-e", n.path("error.log"))
	cmd.Dir, cmd.Env = n.Dir, environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting nginx: %w", err)
	}
	p := &Process{handle: cmd.Process, exited: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended stands in its error log
		close(p.exited)
	}()
	return p, nil
}
