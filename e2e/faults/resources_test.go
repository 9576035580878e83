package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// resources are the processes, descriptors and files of a proxy.
type resources struct {
	agentThreads, agentFiles int
	workers                  []procfs.ProcStat
	workerFiles              int // of the worker with the most
	zombies                  int // children of the agent that it has not waited for
	files                    int // in the runtime directory
}

func (c resources) String() string {
	return fmt.Sprintf("agent: %d threads, %d descriptors; %d workers with up to %d; %d zombies; %d files",
		c.agentThreads, c.agentFiles, len(c.workers), c.workerFiles, c.zombies, c.files)
}

func (w *proxyRun) resources() resources {
	agent := w.agent.Process.Pid
	c := resources{
		agentThreads: entries(fmt.Sprintf("/proc/%d/task", agent)),
		agentFiles:   entries(fmt.Sprintf("/proc/%d/fd", agent)),
		workers:      w.children(w.master()),
	}
	for _, worker := range c.workers {
		c.workerFiles = max(c.workerFiles, entries(fmt.Sprintf("/proc/%d/fd", worker.PID)))
	}
	for _, child := range w.children(agent) {
		if child.State == "Z" {
			c.zombies++
		}
	}
	_ = filepath.WalkDir(w.runtime, func(string, fs.DirEntry, error) error { c.files++; return nil })
	return c
}

func (w *proxyRun) children(pid int) []procfs.ProcStat {
	found, err := testbed.Children(pid)
	require.NoError(w.t, err)
	return found
}

// descriptors lists the open files of the agent.
func (w *proxyRun) descriptors() []string {
	var open []string
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", w.agent.Process.Pid))
	for _, link := range links {
		target, _ := os.Readlink(link)
		open = append(open, target)
	}
	return open
}

func entries(dir string) int {
	list, _ := os.ReadDir(dir)
	return len(list)
}

// requireNoLeak waits until the proxy uses about as many resources as before. Idle
// connections to backends last four seconds, Go keeps its threads, the previous config
// is kept, and API and probes have connections.
func (w *proxyRun) requireNoLeak(before resources) {
	w.t.Helper()
	var now resources
	enough := func() bool {
		now = w.resources()
		return now.agentThreads <= before.agentThreads+10 && now.agentFiles <= before.agentFiles+6 &&
			len(now.workers) == workers && now.workerFiles <= before.workerFiles+3 &&
			now.zombies == 0 && now.files <= before.files+20
	}
	for deadline := time.Now().Add(waitTimeout); !enough() && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	require.True(w.t, enough(), "something leaked:\nbefore: %s\nnow:    %s\nthe agent's descriptors: %v", before, now, w.descriptors())
	w.t.Logf("before: %s; now: %s", before, now)
}
