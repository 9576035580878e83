package nginx

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// Options are the logger and the times of a Supervisor. Zero means the
// default.
type Options struct {
	Log *slog.Logger
	// QuitTimeout is how long requests in progress may take when the
	// supervisor ends; 30 s.
	QuitTimeout time.Duration
	// OrphanTimeout is how long they may take when their master was killed;
	// 10 s.
	OrphanTimeout time.Duration
}

const (
	firstBackoff = 200 * time.Millisecond
	maxBackoff   = 10 * time.Second
	// stableAfter is how long a master must live for its end to count as a
	// first failure again.
	stableAfter = 5 * time.Second
)

// State is what a Supervisor knows about its master.
type State struct {
	PID       int // 0: not running
	Since     time.Time
	Restarts  int    // unplanned
	LastError string // why it last ended or could not be started
}

// Supervisor keeps one master running. Its methods may be called from any
// goroutine.
type Supervisor struct {
	nginx   *Nginx
	options Options
	errors  *errorLog
	state   atomic.Pointer[State]
	process atomic.Pointer[Process]
	// replaced has the workers from before the last Reload.
	replaced atomic.Pointer[workers]
}

// NewSupervisor returns a supervisor without a master.
func NewSupervisor(n *Nginx, options Options) *Supervisor {
	if options.QuitTimeout == 0 {
		options.QuitTimeout = 30 * time.Second
	}
	if options.OrphanTimeout == 0 {
		options.OrphanTimeout = 10 * time.Second
	}
	s := &Supervisor{nginx: n, options: options, errors: &errorLog{path: n.path("error.log"), log: options.Log}}
	s.state.Store(&State{})
	s.errors.skipExisting()
	return s
}

// LogObserver sees what nginx writes to its error log.
type LogObserver interface {
	// NginxLogged is called with every line, without time, level and process
	// id. It must be quick and must not call the Supervisor.
	NginxLogged(line string)
}

// ObserveLog sets the observer of the error log, one at a time. Lines that
// were read before are not repeated.
func (s *Supervisor) ObserveLog(observer LogObserver) { s.errors.observe(observer) }

// State returns the current state.
func (s *Supervisor) State() State { return *s.state.Load() }

// RecentErrors returns nginx's severe errors (emerg, alert) since ClearErrors,
// most likely the reason why it does not serve a new config.
func (s *Supervisor) RecentErrors() Problems { return s.errors.recent() }

// refused tells whether nginx has refused its config since ClearErrors. A port that is taken is
// no refusal yet: nginx tries it five times.
func (s *Supervisor) refused() bool {
	return slices.ContainsFunc(s.errors.recent(), func(line string) bool {
		return strings.HasPrefix(line, "[emerg] ") && !strings.HasPrefix(line, "[emerg] bind() to ")
	})
}

// ClearErrors empties RecentErrors.
func (s *Supervisor) ClearErrors() { s.errors.clear() }

// Adopt takes over an nginx that an earlier program left running in the
// directory, and returns the digest that it serves. On an error there is no
// such nginx, and the next Run starts one.
func (s *Supervisor) Adopt(ctx context.Context) (string, error) {
	process, err := s.nginx.adopt()
	if err != nil {
		return "", err
	}
	digest, err := s.nginx.Digest(ctx)
	if err != nil {
		s.options.Log.Warn("nginx runs but does not answer, replacing it", "pid", process.PID(), "error", err)
		soon, cancel := context.WithTimeout(ctx, s.options.OrphanTimeout)
		defer cancel()
		process.quit(soon)
		return "", err
	}
	s.setRunning(process)
	return digest, nil
}

func (s *Supervisor) setRunning(p *Process) {
	state := s.State()
	state.PID, state.Since = p.PID(), time.Now()
	s.process.Store(p)
	s.state.Store(&state)
}

func (s *Supervisor) setStopped() {
	state := s.State()
	state.PID = 0
	s.process.Store(nil)
	s.state.Store(&state)
}

// setFailed is setStopped for an end that nobody asked for.
func (s *Supervisor) setFailed(reason string) {
	state := s.State()
	state.PID, state.LastError = 0, reason
	state.Restarts++
	s.process.Store(nil)
	s.state.Store(&state)
}

// Run starts nginx, or watches the adopted one, and starts it again whenever
// its master ends. When ctx ends, nginx finishes its requests and ends. Only
// one Run at a time.
func (s *Supervisor) Run(ctx context.Context) {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	logCtx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop() // after quit, so that nginx's last lines are read too
	helpers.Go(func() { s.errors.run(logCtx) })
	for failures := 0; pause.For(ctx, backoff(failures)); {
		began := time.Now()
		process := s.process.Load()
		if process == nil {
			process = s.launch(ctx, &helpers)
		}
		if process != nil && !s.watch(ctx, process) {
			return
		}
		if failures++; time.Since(began) >= stableAfter {
			failures = 1
		}
	}
}

// backoff is the pause before a start: 0 before the first start and after the
// first failure, then 200 ms, 400 ms and so on up to 10 s.
func backoff(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(firstBackoff<<min(failures-2, 10), maxBackoff)
}

// launch ends the orphans of an earlier master and starts a new one. It
// returns nil if nginx cannot be started.
func (s *Supervisor) launch(ctx context.Context, helpers *sync.WaitGroup) *Process {
	if group, err := s.nginx.readPIDFile(); err == nil {
		s.endOrphans(ctx, group, helpers)
	}
	process, err := s.nginx.start()
	if err != nil {
		s.options.Log.Error("cannot start nginx, trying again", "error", err)
		s.setFailed(err.Error())
		return nil
	}
	s.options.Log.Info("nginx started", "pid", process.PID())
	s.setRunning(process)
	return process
}

func (s *Supervisor) endOrphans(ctx context.Context, group int, helpers *sync.WaitGroup) {
	left := orphans(group)
	if len(left) == 0 {
		return
	}
	s.options.Log.Warn("ending nginx workers without a master", "process_group", group, "workers", len(left))
	left.signal(syscall.SIGQUIT)
	left.awaitClosed()
	helpers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.options.OrphanTimeout)
		defer cancel()
		left.awaitEnd(ctx)
	})
}

// watch returns true when the master ended on its own, and false when ctx
// ended and watch has ended the master.
func (s *Supervisor) watch(ctx context.Context, process *Process) bool {
	select {
	case <-process.Exited():
		reason := "it was killed"
		if severe := s.errors.recent(); len(severe) > 0 {
			reason = severe.Error()
		}
		s.setFailed(reason)
		s.options.Log.Error("nginx ended unexpectedly, starting it again", "pid", process.PID(), "reason", reason)
		return true
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.QuitTimeout)
	defer cancel()
	process.quit(deadline)
	s.setStopped()
	s.options.Log.Info("nginx ended", "pid", process.PID())
	return false
}

// Reload makes the master load current/nginx.conf. A sent signal says nothing
// about success: call AwaitDigest and then AwaitReplaced. When no master runs,
// the next one loads that config anyway.
func (s *Supervisor) Reload() error {
	old := groupWorkers(s.State().PID)
	s.replaced.Store(&old)
	return s.signal(syscall.SIGHUP)
}

// AwaitReplaced waits, one second at most, until no worker from before the
// last Reload accepts connections. nginx lets old and new workers accept for
// 100 ms, and for longer on a busy machine.
func (s *Supervisor) AwaitReplaced() {
	if old := s.replaced.Load(); old != nil {
		old.awaitClosed()
	}
}

// Workers counts the workers that accept connections, and those that were replaced and
// still have clients. It looks at all processes.
func (s *Supervisor) Workers() (serving, ending int) {
	if pid := s.State().PID; pid != 0 {
		return countWorkers(pid)
	}
	return 0, 0
}

// WorkerIDs are the process ids of all workers, also of those that were replaced. It looks
// at all processes.
func (s *Supervisor) WorkerIDs() (ids []int) {
	if pid := s.State().PID; pid != 0 {
		return workerIDs(pid)
	}
	return nil
}

// OldWorkers is the number of workers that were replaced and still have clients.
func (s *Supervisor) OldWorkers() int { return len(shuttingDown(s.State().PID)) }

// EndOldWorkers ends the oldest workers that were replaced, with the connections of
// their clients, until no more than keep are left.
func (s *Supervisor) EndOldWorkers(keep int) {
	old := shuttingDown(s.State().PID)
	if len(old) <= keep {
		return
	}
	ending := old[:len(old)-keep]
	s.options.Log.Warn("ending the oldest nginx workers, too many were left by reloads", "workers", len(ending), "left", keep)
	ending.signal(syscall.SIGTERM)
}

// Reopen makes nginx open its log files again.
func (s *Supervisor) Reopen() error { return s.signal(syscall.SIGUSR1) }

func (s *Supervisor) signal(signal syscall.Signal) error {
	if process := s.process.Load(); process != nil {
		return process.signal(signal)
	}
	return errNotRunning
}
