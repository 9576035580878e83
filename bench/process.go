package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cpuChoice says on which CPUs a process runs. With two or more CPUs the proxy
// under test has the last one to itself and all other processes share the rest:
// the proxy is then busy all the time and is not disturbed.
type cpuChoice int

const (
	anyCPU       cpuChoice = iota
	dedicatedCPU           // the last CPU
	otherCPUs              // all CPUs but the last
)

func (c cpuChoice) cpus() *unix.CPUSet {
	var all unix.CPUSet
	if unix.SchedGetaffinity(os.Getpid(), &all) != nil || all.Count() < 2 || c == anyCPU {
		return nil
	}
	last := 0
	for cpu := range runtime.NumCPU() * 64 {
		if all.IsSet(cpu) {
			last = cpu
		}
	}
	var set unix.CPUSet
	if c == dedicatedCPU {
		set.Set(last)
		return &set
	}
	all.Clear(last)
	return &all
}

// pin moves a running process of one thread.
func (c cpuChoice) pin(pid int) error {
	set := c.cpus()
	if set == nil {
		return nil
	}
	if err := unix.SchedSetaffinity(pid, set); err != nil {
		return fmt.Errorf("pin process %d: %w", pid, err)
	}
	return nil
}

// start starts cmd on the chosen CPUs. A child process inherits the CPUs of the
// thread that starts it.
func (c cpuChoice) start(cmd *exec.Cmd) error {
	set := c.cpus()
	if set == nil {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	if err := unix.SchedSetaffinity(0, set); err != nil {
		return err
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}

// process is a child process that runs until it is stopped.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// startProcess starts cmd in a process group of its own: Ctrl-C then reaches only
// bench, which stops its processes in order.
func startProcess(cmd *exec.Cmd, at cpuChoice) (*process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := at.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p := &process{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the exit status does not matter
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop sends SIGTERM, and SIGKILL after 15 seconds.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-p.ended:
	case <-time.After(15 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// waitForPort waits up to 30 seconds until the process listens on the port. The
// error has the text of the log file if the process ends first.
func (p *process) waitForPort(ctx context.Context, port int, errorLog string) error {
	return poll(ctx, 30*time.Second, func() error {
		select {
		case <-p.ended:
			text, _ := os.ReadFile(errorLog)
			return permanentError{fmt.Errorf("%s ended at once: %s", filepath.Base(p.cmd.Path), text)}
		default:
		}
		conn, err := net.Dial("tcp", loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// permanentError is an error that does not go away by waiting.
type permanentError struct{ error }

// poll calls do every 5 ms until it succeeds or the timeout is over.
func poll(ctx context.Context, timeout time.Duration, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		if end := (permanentError{}); errors.As(err, &end) {
			return end.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("timed out: %w", err)
		case <-tick.C:
		}
	}
}

// pause waits for the duration, or until the context ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
