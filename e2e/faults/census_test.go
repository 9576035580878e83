package faults

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// census is what a proxy holds: processes, descriptors, files.
type census struct {
	agentThreads, agentFiles int
	workers                  []int // process ids, sorted
	workerFiles              int   // of the worker that has most
	zombies                  int   // children of the agent that nobody has waited for
	files                    int   // in the runtime directory
}

func (c census) String() string {
	return fmt.Sprintf("agent: %d threads, %d descriptors; %d workers with up to %d; %d zombies; %d files",
		c.agentThreads, c.agentFiles, len(c.workers), c.workerFiles, c.zombies, c.files)
}

func (w *world) census() census {
	agent := w.agent.Process.Pid
	c := census{
		agentThreads: entries(fmt.Sprintf("/proc/%d/task", agent)),
		agentFiles:   entries(fmt.Sprintf("/proc/%d/fd", agent)),
		workers:      children(w.master()),
	}
	for _, worker := range c.workers {
		c.workerFiles = max(c.workerFiles, entries(fmt.Sprintf("/proc/%d/fd", worker)))
	}
	for _, child := range children(agent) {
		if _, state := parentOf(child); state == "Z" {
			c.zombies++
		}
	}
	_ = filepath.WalkDir(w.runtime, func(string, fs.DirEntry, error) error { c.files++; return nil })
	return c
}

// descriptors is what the agent has open.
func (w *world) descriptors() []string {
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

// children are the processes whose parent this is, sorted.
func children(pid int) []int {
	var found []int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, stat := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			continue
		}
		if parent, _ := parentOf(child); parent == pid {
			found = append(found, child)
		}
	}
	slices.Sort(found)
	return found
}

// parentOf reads "12 (nginx) S 11 ...": the name may hold anything, but comes
// first. A process that is gone has no parent.
func parentOf(pid int) (parent int, state string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 2 {
		return 0, ""
	}
	parent, _ = strconv.Atoi(fields[1])
	return parent, fields[0]
}

// requireNothingLeft waits until the proxy holds about what it held before.
// Idle connections to backends last four seconds, threads of Go for ever, the
// config before the last is kept, and the API and probes have connections.
func (w *world) requireNothingLeft(before census) {
	w.t.Helper()
	var now census
	enough := func() bool {
		now = w.census()
		return now.agentThreads <= before.agentThreads+10 && now.agentFiles <= before.agentFiles+6 &&
			len(now.workers) == workers && now.workerFiles <= before.workerFiles+3 &&
			now.zombies == 0 && now.files <= before.files+20
	}
	for deadline := time.Now().Add(patience); !enough() && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	require.True(w.t, enough(), "something leaked:\nbefore: %s\nnow:    %s\nthe agent's descriptors: %v", before, now, w.descriptors())
	w.t.Logf("before: %s; now: %s", before, now)
}
