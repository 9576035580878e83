package workermemory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/beat"
	"github.com/migration-proxy/migration-proxy/internal/linux"
)

// interval is the time between two looks. Within it no worker grows beyond its limit,
// but a new one has none yet.
const interval = time.Second

// Guard sets the limits of workers.
type Guard struct {
	Limit   int64                 // bytes that the container may have; 0: no limit
	Workers func() []int          // process ids
	Used    func() (int64, error) // bytes; nil: of the control group of this process
	Log     *slog.Logger

	failed  bool                      // the last look did
	refused atomic.Pointer[time.Time] // when a worker last got no memory
}

// Run sets limits until ctx ends. They stay then: the next agent takes nginx over.
func (g *Guard) Run(ctx context.Context) {
	if g.Limit == 0 {
		return
	}
	if g.Used == nil {
		g.Used = usedByGroup
	}
	for {
		g.report(g.look())
		select {
		case <-ctx.Done():
			return
		case <-beat.After(interval):
		}
	}
}

// look sets the limits once.
func (g *Guard) look() error {
	used, err := g.Used()
	if err != nil {
		return fmt.Errorf("measure the memory of the container: %w", err)
	}
	var workers []worker
	for _, pid := range g.Workers() {
		if w, err := readWorker(pid); err == nil { // it may have ended
			workers = append(workers, w)
		}
	}
	for i, limit := range limits(room(g.Limit, used), workers) {
		if err := setLimit(workers[i].pid, limit); err != nil {
			return fmt.Errorf("limit the memory of nginx's worker %d: %w", workers[i].pid, err)
		}
	}
	return nil
}

// report logs a new problem.
func (g *Guard) report(err error) {
	if err != nil && !g.failed {
		g.Log.Warn("nginx's workers have no limit of memory: many unfinished requests can end this container", "error", err)
	}
	g.failed = err != nil
}

// noMemory is how nginx's line about an allocation that failed begins. What follows may be
// a client's text.
var noMemory = regexp.MustCompile(`\A(?:\*\d+ )?(?:malloc|posix_memalign)\([\d, ]+\) failed \(12: `)

// Observe reads a line of nginx's error log.
func (g *Guard) Observe(line string, now time.Time) {
	if !noMemory.MatchString(line) {
		return
	}
	if !g.Taken(now) {
		g.Log.Error("nginx's workers get no more memory, connections that need some are ended: see who sends so much, or raise the limit",
			"limit_bytes", g.Limit)
	}
	g.refused.Store(&now)
}

// Taken tells whether a worker wanted memory and got none within the last minute.
func (g *Guard) Taken(now time.Time) bool {
	last := g.refused.Load()
	return last != nil && now.Sub(*last) < time.Minute
}

func setLimit(pid int, limit int64) error {
	err := linux.LimitData(pid, uint64(limit))
	if errors.Is(err, syscall.ESRCH) { // it has ended
		return nil
	}
	return err
}

// readWorker reads /proc/<pid>/status.
func readWorker(pid int) (worker, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return worker{}, err
	}
	w := worker{pid: pid}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		var field *int64
		switch key {
		case "VmData":
			field = &w.data
		case "RssAnon":
			field = &w.touched
		default:
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return worker{}, fmt.Errorf("read %s of process %d: %w", key, pid, err)
		}
		*field = kilobytes << 10
	}
	return w, nil
}
