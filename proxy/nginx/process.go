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

	"github.com/migration-proxy/migration-proxy/internal/linux"
)

// errNotRunning means that no master of this directory was found.
var errNotRunning = errors.New("nginx is not running")

// Process is one nginx master: a child of this program, or an adopted one. It
// leads a process group.
type Process struct {
	handle *os.Process // a pidfd: signals never reach another process
	exited chan struct{}
}

// PID is the master's process id.
func (p *Process) PID() int { return p.handle.Pid }

// Exited is closed when the master has ended; its workers may live longer.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// signal sends a signal to the master: HUP reloads, USR1 reopens its logs.
func (p *Process) signal(signal syscall.Signal) error {
	if err := p.handle.Signal(signal); err != nil {
		return fmt.Errorf("send nginx %s: %w", unix.SignalName(signal), err)
	}
	return nil
}

// adopt finds the master that the pid file names and that an earlier program
// started. The error is errNotRunning unless it is certainly an nginx of this
// directory.
func (n *Nginx) adopt() (*Process, error) {
	pid, err := n.readPIDFile()
	if err != nil {
		return nil, err
	}
	fd, err := linux.OpenProcess(pid)
	if err != nil {
		return nil, fmt.Errorf("%w: process %d: %w", errNotRunning, pid, err)
	}
	pidfd := os.NewFile(uintptr(fd), "pidfd")
	handle, err := os.FindProcess(pid)
	if err != nil || !n.isMaster(pid) || !alive(fd) {
		return nil, errors.Join(fmt.Errorf("%w: process %d is not its master", errNotRunning, pid), err, pidfd.Close())
	}
	p := &Process{handle: handle, exited: make(chan struct{})}
	go func() {
		awaitExit(pidfd)
		close(p.exited)
	}()
	return p, nil
}

func (n *Nginx) readPIDFile() (int, error) {
	text, err := os.ReadFile(n.path("nginx.pid"))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotRunning, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%w: %q in its pid file is not a process id", errNotRunning, text)
	}
	return pid, nil
}

// isMaster reports whether the process is an nginx master of this directory. The
// title of a master has its command line, and every master that this package
// starts leads its process group. Any process can have that title, so its user counts.
func (n *Nginx) isMaster(pid int) bool {
	info, err := readProcessInfo(pid)
	return err == nil && info.group == pid && info.user == os.Geteuid() &&
		strings.HasPrefix(info.title, "nginx: master process ") &&
		strings.Contains(info.title+" ", " -p "+n.Dir+" ")
}

// awaitExit blocks until the process behind a pidfd has ended: the pidfd then
// becomes readable.
func awaitExit(pidfd *os.File) {
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
// without waiting for clients, then with SIGKILL.
func (p *Process) quit(ctx context.Context) {
	_ = p.signal(syscall.SIGQUIT)
	if p.exitsBefore(ctx) {
		return
	}
	_ = p.signal(syscall.SIGTERM)
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if p.exitsBefore(soon) {
		return
	}
	workers := groupWorkers(p.PID())
	_ = p.signal(syscall.SIGKILL)
	<-p.exited
	workers.signal(syscall.SIGKILL)
}

// exitsBefore waits for the master to end, and is false when ctx ends first.
func (p *Process) exitsBefore(ctx context.Context) bool {
	select {
	case <-p.exited:
		return true
	case <-ctx.Done():
		return false
	}
}
