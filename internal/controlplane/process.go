package controlplane

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a running program. Its output goes to a file.
type process struct {
	name, log string
	cmd       *exec.Cmd
	ended     chan struct{} // closed when it has ended
}

// starter runs functions on one thread that never ends: the kernel sends Pdeathsig
// when the thread that started a process ends, not only when the whole process does.
var starter = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// StartWithDeathSignal starts a command with SysProcAttr.Pdeathsig so that the signal
// is sent when this process ends, and not already when one of its threads does.
func StartWithDeathSignal(command *exec.Cmd) error {
	started := make(chan error)
	starter() <- func() { started <- command.Start() }
	return <-started
}

// startProgram starts a program that ends with this process, even when that is killed.
func startProgram(dir, name string, args ...string) (*process, error) {
	path, err := Program(name)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	output, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("log of %s: %w", name, err)
	}
	defer output.Close()
	p.cmd = exec.Command(path, args...)
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.Dir = output, output, dir
	p.cmd.Env = withoutProxies(os.Environ())
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := StartWithDeathSignal(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// withoutProxies removes HTTP proxies from the environment, because a control plane
// only connects to this machine.
func withoutProxies(environment []string) []string {
	var kept []string
	for _, variable := range environment {
		name, _, _ := strings.Cut(variable, "=")
		if !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			kept = append(kept, variable)
		}
	}
	return kept
}

// kill ends the program at once, as in an outage. A graceful end of kube-apiserver
// would take as long as its longest watch.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
}

// waitUntilReady waits until ready gives nil. Otherwise the error has the last error
// of ready, or the end of the log of a program that has ended: this one or one that it
// needs.
func (p *process) waitUntilReady(ctx context.Context, ready func(context.Context) error, needs ...*process) error {
	const pause, limit = 50 * time.Millisecond, 90 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		missing := ready(ctx)
		if missing == nil {
			return nil
		}
		for _, one := range append(needs, p) {
			if one.hasEnded() {
				return fmt.Errorf("%s ended: %s\n%s", one.name, one.cmd.ProcessState, one.logTail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, errors.Join(missing, ctx.Err()), p.logTail())
		case <-time.After(pause):
		}
	}
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// logTail is the end of the log.
func (p *process) logTail() string {
	const lines = 15
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	last := all[max(0, len(all)-lines):]
	return fmt.Sprintf("the end of %s:\n%s", p.log, bytes.Join(last, []byte("\n")))
}
