package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cpuTime is the CPU time that a process has used, user and system, of all threads.
// /proc/PID/stat is not precise enough: it counts hundredths of a second.
func cpuTime(pid int) (time.Duration, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(threads) == 0 {
		return 0, fmt.Errorf("process %d is gone, or this Linux does not count CPU time in /proc/PID/schedstat", pid)
	}
	var sum time.Duration
	for _, thread := range threads {
		text, err := os.ReadFile(thread)
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has just ended
		}
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		nanoseconds, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read CPU time: %w", err)
		}
		sum += time.Duration(nanoseconds)
	}
	return sum, nil
}

// children gives the child processes of a process.
func children(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []int
	for _, stat := range stats {
		text, err := os.ReadFile(stat)
		if err != nil {
			continue // the process has ended
		}
		// "12 (nginx) S 11 ...": the name can have any characters, also brackets.
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 2 || fields[1] != strconv.Itoa(pid) {
			continue
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		if err != nil {
			return nil, err
		}
		found = append(found, child)
	}
	return found, nil
}

// memoryUse is the memory of a process in bytes: all resident pages (RSS), and with
// shared pages divided among the processes that share them (PSS).
type memoryUse struct{ rss, pss int64 }

func memoryOf(pid int) (memoryUse, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memoryUse{}, fmt.Errorf("read memory: %w", err)
	}
	defer func() { _ = file.Close() }() // only read
	var f memoryUse
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) < 2:
		case fields[0] == "Rss:":
			f.rss, err = kilobytes(fields[1])
		case fields[0] == "Pss:":
			f.pss, err = kilobytes(fields[1])
		}
		if err != nil {
			return memoryUse{}, fmt.Errorf("read memory: %w", err)
		}
	}
	return f, lines.Err()
}

func kilobytes(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n * 1024, err
}

func readPID(file string) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
