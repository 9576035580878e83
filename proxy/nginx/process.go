package nginx

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errNotRunning means that there is no master that is surely ours.
var errNotRunning = errors.New("nginx is not running")

// Process is one nginx master, our child or one that we took over. Its
// process group has its own number.
type Process struct {
	handle *os.Process // a pidfd: its signals never reach a stranger
	exited chan struct{}
}

// PID is the master's process id.
func (p *Process) PID() int { return p.handle.Pid }

// Exited is closed when the master has ended; its workers may live on.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// signal sends a signal to the master: HUP reloads, USR1 reopens its logs.
func (p *Process) signal(signal syscall.Signal) error {
	if err := p.handle.Signal(signal); err != nil {
		return fmt.Errorf("sending nginx %s: %w", unix.SignalName(signal), err)
	}
	return nil
}

// adopt finds the master that the pid file names, started by another program
// than this one. errNotRunning when that is not surely an nginx of this
// directory.
func (n *Nginx) adopt() (*Process, error) {
	pid, err := n.notedPID()
	if err != nil {
		return nil, err
	}
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("%w: process %d: %w", errNotRunning, pid, err)
	}
	watch := os.NewFile(uintptr(fd), "pidfd")
	handle, err := os.FindProcess(pid)
	if err != nil || !n.isMaster(pid) || !alive(fd) {
		return nil, errors.Join(fmt.Errorf("%w: process %d is another", errNotRunning, pid), err, watch.Close())
	}
	p := &Process{handle: handle, exited: make(chan struct{})}
	go func() {
		awaitEnd(watch)
		close(p.exited)
	}()
	return p, nil
}

// notedPID reads nginx's pid file.
func (n *Nginx) notedPID() (int, error) {
	text, err := os.ReadFile(n.path("nginx.pid"))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotRunning, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%w: %q in its pid file is no process", errNotRunning, text)
	}
	return pid, nil
}

// isMaster tells whether the process is an nginx master of our directory:
// nginx shows its command line in its title. It leads its process group, as
// all masters that we start do.
func (n *Nginx) isMaster(pid int) bool {
	found, err := inspect(pid)
	return err == nil && found.group == pid &&
		strings.HasPrefix(found.title, "nginx: master process ") &&
		strings.Contains(found.title+" ", " -p "+n.Dir+" ")
}

// awaitEnd blocks until the process behind a pidfd has ended: it then becomes
// readable.
func awaitEnd(pidfd *os.File) {
	defer pidfd.Close()
	raw, err := pidfd.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { return !alive(int(fd)) })
}

func alive(pidfd int) bool {
	poll := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	_, err := unix.Poll(poll, 0)
	return err == nil && poll[0].Revents == 0 || errors.Is(err, unix.EINTR)
}

// quit ends the master and its workers: gracefully until ctx ends, then
// without waiting for clients, then by force.
func (p *Process) quit(ctx context.Context) {
	_ = p.signal(syscall.SIGQUIT)
	if p.endsWithin(ctx) {
		return
	}
	_ = p.signal(syscall.SIGTERM)
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if p.endsWithin(soon) {
		return
	}
	workers := members(p.PID())
	_ = p.signal(syscall.SIGKILL)
	<-p.exited
	workers.signal(syscall.SIGKILL)
}

func (p *Process) endsWithin(ctx context.Context) bool {
	select {
	case <-p.exited:
		return true
	case <-ctx.Done():
		return false
	}
}
