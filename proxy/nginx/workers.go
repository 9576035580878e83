package nginx

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/linux"
)

// processInfo is what /proc says about a process.
type processInfo struct {
	parent, group int
	start         int // clock ticks since the machine started
	user          int
	title         string
}

// readProcessInfo reads /proc/<pid>/stat ("12 (nginx) S 1 12 ...", where parent
// and group follow the state, and the time of the start is the 22nd field) and cmdline.
func readProcessInfo(pid int) (processInfo, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processInfo{}, err
	}
	title, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return processInfo{}, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 20 {
		return processInfo{}, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	parent, _ := strconv.Atoi(fields[1])
	group, _ := strconv.Atoi(fields[2])
	start, _ := strconv.Atoi(fields[19])
	return processInfo{parent, group, start, userOf(pid), strings.TrimRight(strings.ReplaceAll(string(title), "\x00", " "), " ")}, nil
}

// userOf is the effective user of a process, or -1.
func userOf(pid int) int {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return -1
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return -1
}

// workers are pinned by a pidfd: a signal reaches the inspected process, or
// none.
type workers []*os.Process

// groupWorkers finds the nginx workers of a process group.
func groupWorkers(group int) workers {
	return findWorkers(func(p processInfo) bool { return p.group == group })
}

// orphans finds the workers of a master that died first. They would accept
// connections forever. A worker whose parent leads the group is no orphan: the
// process id of the group is in use again.
func orphans(group int) workers {
	return findWorkers(func(p processInfo) bool { return p.group == group && p.parent != group })
}

// shuttingDown finds the workers of a group that a reload has replaced and that still
// have clients, the oldest first.
func shuttingDown(group int) workers {
	starts := map[int]int{}
	found := findWorkers(func(p processInfo) bool {
		return p.group == group && strings.HasSuffix(p.title, endingTitle)
	})
	for _, worker := range found {
		if info, err := readProcessInfo(worker.Pid); err == nil {
			starts[worker.Pid] = info.start
		}
	}
	slices.SortFunc(found, func(a, b *os.Process) int { return cmp.Compare(starts[a.Pid], starts[b.Pid]) })
	return found
}

// countWorkers counts the workers of a group that accept connections, and those that a
// reload has replaced and that still have clients.
func countWorkers(group int) (serving, ending int) {
	for _, pid := range processes() {
		isWorker(pid, func(p processInfo) bool {
			switch {
			case p.group != group:
			case strings.HasSuffix(p.title, endingTitle):
				ending++
			default:
				serving++
			}
			return false
		})
	}
	return serving, ending
}

// workerIDs are the process ids of the workers of a group.
func workerIDs(group int) []int {
	return slices.DeleteFunc(processes(), func(pid int) bool {
		return !isWorker(pid, func(p processInfo) bool { return p.group == group })
	})
}

// endingTitle ends the title of a worker that accepts no more connections.
const endingTitle = "is shutting down"

// processes are the process ids of all processes.
func processes() (pids []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func findWorkers(wanted func(processInfo) bool) workers {
	var found workers
	for _, pid := range processes() {
		if !isWorker(pid, wanted) {
			continue
		}
		// The process is pinned and then inspected again.
		if handle, err := os.FindProcess(pid); err == nil && isWorker(pid, wanted) {
			found = append(found, handle)
		}
	}
	return found
}

// isWorker reports whether the process is an nginx worker. Just after its fork a
// worker still has the title of its master, which leads the group.
func isWorker(pid int, wanted func(processInfo) bool) bool {
	info, err := readProcessInfo(pid)
	return err == nil && strings.HasPrefix(info.title, "nginx: ") && pid != info.group && wanted(info)
}

func (w workers) signal(signal syscall.Signal) {
	for _, worker := range w {
		_ = worker.Signal(signal) // it may have ended already
	}
}

// awaitClosed waits, one second at most, until workers that got SIGQUIT have
// closed their listening sockets, so that a new master can bind them. nginx
// appends "is shutting down" to the title of the worker just before that.
func (w workers) awaitClosed() {
	for range 50 {
		if !w.anyListening() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w workers) anyListening() bool {
	for _, worker := range w {
		if info, err := readProcessInfo(worker.Pid); err == nil && strings.HasPrefix(info.title, "nginx: ") && !strings.HasSuffix(info.title, endingTitle) {
			return true
		}
	}
	return false
}

// awaitEnd lets orphans finish their requests until ctx ends, and then ends
// them.
func (w workers) awaitEnd(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for w.anyAlive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			w.signal(syscall.SIGTERM)
			return
		}
	}
}

// anyAlive also reaps the workers that became children of this program, as
// orphans do when it is the first process of a container.
func (w workers) anyAlive() bool {
	alive := false
	for _, worker := range w {
		_ = worker.WithHandle(func(pidfd uintptr) {
			linux.Reap(int(pidfd))
		})
		alive = worker.Signal(syscall.Signal(0)) == nil || alive
	}
	return alive
}
