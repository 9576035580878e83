package workermemory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/internal/beat"
)

// interval is the time between two looks. Within it no worker grows beyond its limit,
// but a new one has none yet.
const interval = time.Second

// lasting is how many looks in a row must find nothing free before that is logged: the
// test of a config takes memory for a moment.
const lasting = 5

// Guard sets the limits of workers.
type Guard struct {
	Limit   int64                 // bytes that the container may have; 0: no limit
	Workers func() []int          // process ids
	Used    func() (int64, error) // bytes; nil: of the control group of this process
	Log     *slog.Logger

	short   int    // looks in a row that found nothing free
	problem string // of the last look
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

// look sets the limits once. It gives what the workers may still take.
func (g *Guard) look() (free int64, err error) {
	used, err := g.Used()
	if err != nil {
		return 0, fmt.Errorf("measure the memory of the container: %w", err)
	}
	free = room(g.Limit, used)
	var workers []worker
	for _, pid := range g.Workers() {
		if w, err := readWorker(pid); err == nil { // it may have ended
			workers = append(workers, w)
		}
	}
	for i, limit := range limits(free, workers) {
		if err := setLimit(workers[i].pid, limit); err != nil {
			return free, fmt.Errorf("limit the memory of nginx's worker %d: %w", workers[i].pid, err)
		}
	}
	return free, nil
}

// report logs what has changed since the last look.
func (g *Guard) report(free int64, err error) {
	problem := ""
	if err != nil {
		problem = err.Error()
	}
	if problem != "" && g.problem == "" {
		g.Log.Warn("nginx's workers have no limit of memory: many unfinished requests can end this container", "error", err)
	}
	g.problem = problem
	if problem != "" || free > 0 {
		if g.short >= lasting {
			g.Log.Info("nginx's workers may take memory again", "free_bytes", free)
		}
		g.short = 0
		return
	}
	if g.short++; g.short == lasting {
		g.Log.Error("nginx's workers get no more memory, connections that need some are ended: see who sends so much, or raise the limit",
			"limit_bytes", g.Limit)
	}
}

// setLimit changes the soft limit, which may be raised again. It needs the rights of the
// worker's user, or CAP_SYS_RESOURCE.
func setLimit(pid int, limit int64) error {
	var now unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_DATA, nil, &now); err != nil {
		return ignoreEnded(err)
	}
	wanted := unix.Rlimit{Cur: min(uint64(limit), now.Max), Max: now.Max}
	return ignoreEnded(unix.Prlimit(pid, unix.RLIMIT_DATA, &wanted, nil))
}

func ignoreEnded(err error) error {
	if errors.Is(err, unix.ESRCH) {
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
