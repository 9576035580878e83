package testbed

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/prometheus/procfs"
)

// Children gives the child processes of a process, by ascending PID, with those that
// have ended and that their parent has not waited for (state "Z").
func Children(pid int) ([]procfs.ProcStat, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return nil, fmt.Errorf("list the processes: %w", err)
	}
	var found []procfs.ProcStat
	for _, process := range all {
		// A process that ends meanwhile has no stat any more.
		if stat, err := process.Stat(); err == nil && stat.PPID == pid {
			found = append(found, stat)
		}
	}
	slices.SortFunc(found, func(a, b procfs.ProcStat) int { return cmp.Compare(a.PID, b.PID) })
	return found, nil
}
