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

// process is a program that runs; its output goes to a file.
type process struct {
	name, log string
	cmd       *exec.Cmd
	ended     chan struct{} // closed when it has ended
}

// launches is run by one thread that never ends: the kernel sends Pdeathsig
// when the thread that started a process ends, not only when its process does.
var launches = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// StartBound starts a command whose SysProcAttr.Pdeathsig must hold until this
// process ends, and not only until one of its threads does.
func StartBound(command *exec.Cmd) error {
	started := make(chan error)
	launches() <- func() { started <- command.Start() }
	return <-started
}

// launch starts a program of ours. It ends with us, even if we are killed.
func launch(dir, name string, args ...string) (*process, error) {
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
	if err := StartBound(p.cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// withoutProxies keeps HTTP proxies of the environment away from a control
// plane that only talks to this machine.
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

// kill ends it at once. That is what an outage looks like, and a graceful end
// of kube-apiserver takes as long as its longest watch.
func (p *process) kill() {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Kill() // an error means that it has ended
	<-p.ended
}

// until waits until ready returns nil. The error says what was missing last,
// or what said last that has ended: the program or one of those that it needs.
func (p *process) until(ctx context.Context, ready func(context.Context) error, needs ...*process) error {
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
				return fmt.Errorf("%s ended: %s\n%s", one.name, one.cmd.ProcessState, one.lastWords())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w\n%s", p.name, errors.Join(missing, ctx.Err()), p.lastWords())
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

// lastWords is the end of its log.
func (p *process) lastWords() string {
	const lines = 15
	text, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	last := all[max(0, len(all)-lines):]
	return fmt.Sprintf("the end of %s:\n%s", p.log, bytes.Join(last, []byte("\n")))
}
