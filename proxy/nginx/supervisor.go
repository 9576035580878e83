package nginx

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Options are a Supervisor's times. Zero means the default.
type Options struct {
	Log *slog.Logger
	// QuitTimeout is how long requests under way may take when the
	// supervisor ends; 30 s.
	QuitTimeout time.Duration
	// OrphanTimeout is how long they may take when their master was killed;
	// 10 s.
	OrphanTimeout time.Duration
}

const (
	firstBackoff = 200 * time.Millisecond
	mostBackoff  = 10 * time.Second
	// steady is how long a master must live for its end to count as the
	// first failure again.
	steady = 5 * time.Second
)

// State is what a Supervisor knows of its master.
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
	// replaced are the workers at the last Reload.
	replaced atomic.Pointer[processes]
}

// NewSupervisor makes a supervisor that has no master yet.
func NewSupervisor(n *Nginx, options Options) *Supervisor {
	if options.QuitTimeout == 0 {
		options.QuitTimeout = 30 * time.Second
	}
	if options.OrphanTimeout == 0 {
		options.OrphanTimeout = 10 * time.Second
	}
	s := &Supervisor{nginx: n, options: options, errors: &errorLog{path: n.path("error.log"), log: options.Log}}
	s.state.Store(&State{})
	s.errors.skip()
	return s
}

// LogObserver sees what nginx writes to its error log.
type LogObserver interface {
	// NginxLogged is called with every line, without time, level and process
	// id. It must be quick and must not call the Supervisor.
	NginxLogged(line string)
}

// ObserveLog sets the one observer of the error log. Lines that were read
// before are not repeated.
func (s *Supervisor) ObserveLog(observer LogObserver) { s.errors.observe(observer) }

// State gives a snapshot.
func (s *Supervisor) State() State { return *s.state.Load() }

// Complaints gives what nginx has complained of since Forget, most likely the
// reason why it does not serve what it was told to.
func (s *Supervisor) Complaints() Problems { return s.errors.complaints() }

// Forget lets Complaints begin anew.
func (s *Supervisor) Forget() { s.errors.forget() }

// Adopt takes over an nginx that a predecessor of this program left running
// in our directory, and gives the digest that it serves. An error means that
// there is none; the next Run then starts one.
func (s *Supervisor) Adopt(ctx context.Context) (string, error) {
	process, err := s.nginx.adopt()
	if err != nil {
		return "", err
	}
	digest, err := s.nginx.Digest(ctx)
	if err != nil {
		s.options.Log.Warn("nginx runs but does not answer: replacing it", "pid", process.PID(), "error", err)
		soon, cancel := context.WithTimeout(ctx, s.options.OrphanTimeout)
		defer cancel()
		process.quit(soon)
		return "", err
	}
	s.now(process)
	return digest, nil
}

func (s *Supervisor) now(p *Process) {
	state := s.State()
	state.PID, state.Since = p.PID(), time.Now()
	s.process.Store(p)
	s.state.Store(&state)
}

func (s *Supervisor) ended(unplanned bool, why string) {
	state := s.State()
	state.PID = 0
	if unplanned {
		state.Restarts++
		state.LastError = why
	}
	s.process.Store(nil)
	s.state.Store(&state)
}

// Run starts nginx, or watches the adopted one, and starts it again whenever
// its master ends. When ctx ends it lets nginx finish its requests and ends
// it. One Run at a time.
func (s *Supervisor) Run(ctx context.Context) {
	var helpers sync.WaitGroup
	defer helpers.Wait()
	quiet, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop() // after quit, whose last words are passed on too
	helpers.Go(func() { s.errors.run(quiet) })
	for failures := 0; pause(ctx, backoff(failures)); {
		began := time.Now()
		process := s.process.Load()
		if process == nil {
			process = s.launch(ctx, &helpers)
		}
		if process != nil && !s.watch(ctx, process) {
			return
		}
		if failures++; time.Since(began) >= steady {
			failures = 1
		}
	}
}

// pause sleeps; false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return ctx.Err() == nil
	}
}

// backoff is nothing before the first start and after the first failure, then
// 200 ms, 400 ms and so on up to 10 s.
func backoff(failures int) time.Duration {
	if failures < 2 {
		return 0
	}
	return min(firstBackoff<<min(failures-2, 10), mostBackoff)
}

// launch ends what an earlier master left behind and starts a new one; nil if
// that is not possible now.
func (s *Supervisor) launch(ctx context.Context, helpers *sync.WaitGroup) *Process {
	if group, err := s.nginx.notedPID(); err == nil {
		s.endOrphans(ctx, group, helpers)
	}
	process, err := s.nginx.start()
	if err != nil {
		s.options.Log.Error("nginx cannot be started", "error", err)
		s.ended(true, err.Error())
		return nil
	}
	s.options.Log.Info("nginx started", "pid", process.PID())
	s.now(process)
	return process
}

func (s *Supervisor) endOrphans(ctx context.Context, group int, helpers *sync.WaitGroup) {
	left := orphans(group)
	if len(left) == 0 {
		return
	}
	s.options.Log.Warn("ending workers whose master is gone", "group", group, "workers", len(left))
	left.signal(syscall.SIGQUIT)
	left.awaitClosed()
	helpers.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, s.options.OrphanTimeout)
		defer cancel()
		left.end(ctx)
	})
}

// watch returns true when the master ended by itself, and false when ctx
// ended and the master was therefore quit.
func (s *Supervisor) watch(ctx context.Context, process *Process) bool {
	select {
	case <-process.Exited():
		why := "it was killed"
		if said := s.errors.complaints(); len(said) > 0 {
			why = said.Error()
		}
		s.ended(true, why)
		s.options.Log.Error("nginx ended unasked: starting it again", "pid", process.PID(), "reason", why)
		return true
	case <-ctx.Done():
	}
	deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.QuitTimeout)
	defer cancel()
	process.quit(deadline)
	s.ended(false, "")
	s.options.Log.Info("nginx ended", "pid", process.PID())
	return false
}

// Reload lets the master load current/nginx.conf. That the signal was sent
// says nothing about success: ask AwaitDigest and then AwaitReplaced. When no
// master is running, the next one loads that config anyway.
func (s *Supervisor) Reload() error {
	old := members(s.State().PID)
	s.replaced.Store(&old)
	return s.signal(syscall.SIGHUP)
}

// AwaitReplaced waits, one second at most, until no worker from before the
// last Reload accepts connections. nginx lets them go on for 100 ms beside the
// new ones, and a busy machine for longer.
func (s *Supervisor) AwaitReplaced() {
	if old := s.replaced.Load(); old != nil {
		old.awaitClosed()
	}
}

// Reopen lets nginx open its log files again.
func (s *Supervisor) Reopen() error { return s.signal(syscall.SIGUSR1) }

func (s *Supervisor) signal(signal syscall.Signal) error {
	if process := s.process.Load(); process != nil {
		return process.signal(signal)
	}
	return errNotRunning
}
