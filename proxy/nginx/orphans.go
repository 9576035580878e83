package nginx

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// info is what /proc tells about a process.
type info struct {
	parent, group int
	title         string
}

// inspect reads /proc/<pid>/stat ("12 (nginx) S 1 12 ...": parent and group
// follow the state) and cmdline.
func inspect(pid int) (info, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return info{}, err
	}
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return info{}, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 3 {
		return info{}, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	parent, _ := strconv.Atoi(fields[1])
	group, _ := strconv.Atoi(fields[2])
	return info{parent, group, strings.TrimRight(strings.ReplaceAll(string(title), "\x00", " "), " ")}, nil
}

// processes are pinned: a signal reaches the process that was looked at, or
// nobody.
type processes []*os.Process

// members finds the nginx processes of a group, but for its leader.
func members(group int) processes {
	return choose(func(i info) bool { return i.group == group })
}

// orphans finds the workers of a master that died before them. They still
// accept connections, and would for ever. A worker whose parent is the
// group's leader is no orphan: a number that is in use again leads there.
func orphans(group int) processes {
	return choose(func(i info) bool { return i.group == group && i.parent != group })
}

func choose(wanted func(info) bool) processes {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var found processes
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || !isWorker(pid, wanted) {
			continue
		}
		// The number is pinned first and looked at again then.
		if handle, err := os.FindProcess(pid); err == nil && isWorker(pid, wanted) {
			found = append(found, handle)
		}
	}
	return found
}

func isWorker(pid int, wanted func(info) bool) bool {
	i, err := inspect(pid)
	return err == nil && strings.HasPrefix(i.title, "nginx: worker process") && wanted(i)
}

func (p processes) signal(signal syscall.Signal) {
	for _, process := range p {
		_ = process.Signal(signal) // it may have ended by itself
	}
}

// awaitClosed waits, one second at most, until workers that were told to quit
// have closed their listening sockets, so that a new master can have them.
// nginx changes the worker's title just before it does.
func (p processes) awaitClosed() {
	for range 50 {
		if !p.anyListening() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p processes) anyListening() bool {
	for _, process := range p {
		if i, err := inspect(process.Pid); err == nil && i.title == "nginx: worker process" {
			return true
		}
	}
	return false
}

// end lets orphans finish their requests until ctx ends, and then ends them.
func (p processes) end(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for p.anyAlive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.signal(syscall.SIGTERM)
			return
		}
	}
}

// anyAlive also reaps those that became our own children because we are the
// container's first process.
func (p processes) anyAlive() bool {
	found := false
	for _, process := range p {
		_ = process.WithHandle(func(pidfd uintptr) {
			_ = unix.Waitid(unix.P_PIDFD, int(pidfd), nil, unix.WEXITED|unix.WNOHANG, nil)
		})
		found = process.Signal(syscall.Signal(0)) == nil || found
	}
	return found
}
