package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"

	"github.com/migration-proxy/migration-proxy/internal/testbed"
)

// cpuTime is the CPU time that a process has used, user and system, of all threads.
// /proc/PID/stat is not precise enough: it counts hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	threads, err := procfs.AllThreads(pid)
	if err != nil {
		return 0, fmt.Errorf("read CPU time: %w", err)
	}
	var sum time.Duration
	for _, thread := range threads {
		used, err := thread.Schedstat()
		if errors.Is(err, fs.ErrNotExist) {
			continue // the thread has just ended
		}
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += time.Duration(used.RunningNanoseconds) //nolint:gosec // 292 years
	}
	return sum, nil
}

// onlyWorker gives the process id of the only worker of an nginx.
func onlyWorker(master int) (int, error) {
	workers, err := testbed.Children(master)
	if err == nil && len(workers) != 1 {
		err = fmt.Errorf("nginx has %d workers, 1 was expected", len(workers))
	}
	if err != nil {
		return 0, err
	}
	return workers[0].PID, nil
}

// memoryUse is the memory of a process in bytes: all resident pages (RSS), and with
// shared pages divided among the processes that share them (PSS).
type memoryUse struct{ rss, pss int64 }

func memoryOf(pid int) (memoryUse, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return memoryUse{}, fmt.Errorf("read memory: %w", err)
	}
	used, err := process.ProcSMapsRollup()
	if err != nil {
		return memoryUse{}, fmt.Errorf("read memory: %w", err)
	}
	return memoryUse{rss: int64(used.Rss), pss: int64(used.Pss)}, nil //nolint:gosec // bytes of memory
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
