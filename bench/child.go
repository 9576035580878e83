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

// place says on which CPUs a process runs. With two or more CPUs the proxy
// under test has the last for itself, and everybody else the others: it is
// then busy all the time, whoever it is, and not disturbed.
type place int

const (
	anywhere place = iota
	apart          // the last CPU
	together       // all others
)

func (p place) cpus() *unix.CPUSet {
	var all unix.CPUSet
	if unix.SchedGetaffinity(os.Getpid(), &all) != nil || all.Count() < 2 || p == anywhere {
		return nil
	}
	last := 0
	for cpu := range runtime.NumCPU() * 64 {
		if all.IsSet(cpu) {
			last = cpu
		}
	}
	var set unix.CPUSet
	if p == apart {
		set.Set(last)
		return &set
	}
	all.Clear(last)
	return &all
}

// pin moves a running process of one thread.
func (p place) pin(pid int) error {
	set := p.cpus()
	if set == nil {
		return nil
	}
	if err := unix.SchedSetaffinity(pid, set); err != nil {
		return fmt.Errorf("pin process %d: %w", pid, err)
	}
	return nil
}

// start starts cmd on the place's CPUs: a child begins where the thread that
// makes it may run.
func (p place) start(cmd *exec.Cmd) error {
	set := p.cpus()
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

// child is a process of ours that runs until it is stopped.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// launch starts cmd in a process group of its own: Ctrl-C reaches bench alone,
// which then stops the others in order.
func launch(cmd *exec.Cmd, at place) (*child, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := at.start(cmd); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	c := &child{cmd: cmd, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // how it ended does not matter once it has
		close(c.ended)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop asks the process to end, and makes it end after 15 seconds.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.ended:
	case <-time.After(15 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// awaitPort waits until somebody listens.
func (c *child) awaitPort(ctx context.Context, port int, complaints string) error {
	return poll(ctx, 30*time.Second, func() error {
		select {
		case <-c.ended:
			text, _ := os.ReadFile(complaints)
			return final{fmt.Errorf("%s ended at once: %s", filepath.Base(c.cmd.Path), text)}
		default:
		}
		conn, err := net.Dial("tcp", loopback(port))
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

// final is an error that waiting does not heal.
type final struct{ error }

// poll tries every 5 ms until do succeeds.
func poll(ctx context.Context, patience time.Duration, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := do()
		if err == nil {
			return nil
		}
		if end := (final{}); errors.As(err, &end) {
			return end.error
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", err)
		case <-tick.C:
		}
	}
}

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
