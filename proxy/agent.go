package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
)

// Options are an Agent's parts and times. Zero times mean the default.
type Options struct {
	// Params are passed on to nginxgen. RuntimeDir (absolute, at most 96
	// bytes: a unix socket is put there) is required; Version, ErrorLog and
	// OpenFiles are the agent's to fill in.
	Params    nginxgen.Params
	NginxPath string // path or name of the binary
	Version   string // the program's own, for the status
	Log       *slog.Logger
	Resolve   resolve.Options

	ReloadEvery     time.Duration // least time between two reloads; 1 s
	ReadbackTimeout time.Duration // for a new config to be served; 10 s
	DrainTime       time.Duration // before a reload, where nginx needs it; 50 ms
	QuitTimeout     time.Duration // for requests under way when Run ends; 30 s
}

func (o *Options) fill() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.ReloadEvery = orDefault(o.ReloadEvery, time.Second)
	o.ReadbackTimeout = orDefault(o.ReadbackTimeout, 10*time.Second)
	o.DrainTime = orDefault(o.DrainTime, 50*time.Millisecond)
}

func orDefault(d, fallback time.Duration) time.Duration {
	if d == 0 {
		return fallback
	}
	return d
}

// Observer sees what the agent and nginx do. The methods are called from the
// goroutines that run the agent and read nginx's error log, so they must be quick.
// They may call the Agent.
type Observer interface {
	// ConfigApplied is called with each table once it is in force.
	ConfigApplied(table *migration.Table)
	// NginxLogged is called with every line of nginx's error log, without
	// time, level and process id, at most 100 ms after nginx wrote it.
	NginxLogged(line string)
}

type noObserver struct{}

func (noObserver) ConfigApplied(*migration.Table) {}
func (noObserver) NginxLogged(string)             {}

// Agent puts tables in force in one nginx. Its methods may be called from any
// goroutine, before Run too, and never block.
type Agent struct {
	options Options
	dir     runtimeDir
	nginx   *nginx.Nginx
	master  *nginx.Supervisor
	names   *resolve.Resolver
	inbox   inbox
	view    atomic.Pointer[view]
	opened  chan struct{}
}

// mostPath is how long a unix socket's path may be, without its final zero.
const mostPath = 107

// New finds nginx and changes nothing. An error says what is missing.
func New(ctx context.Context, options Options) (*Agent, error) {
	options.fill()
	dir := options.Params.RuntimeDir
	if !filepath.IsAbs(dir) || len(filepath.Join(dir, "admin.sock")) > mostPath {
		return nil, fmt.Errorf("runtime directory %q: write an absolute path of at most %d bytes", dir, mostPath-len("/admin.sock"))
	}
	found, err := nginx.Find(ctx, options.NginxPath, dir)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		options: options,
		dir:     runtimeDir(dir),
		nginx:   found,
		names:   resolve.New(options.Resolve),
		inbox:   inbox{wake: make(chan struct{}, 1)},
		opened:  make(chan struct{}),
	}
	a.master = nginx.NewSupervisor(found, nginx.Options{
		Log: options.Log, QuitTimeout: options.QuitTimeout,
	})
	a.options.Params.Version = found.Version
	a.options.Params.ErrorLog = a.dir.path("error.log")
	a.options.Params.OpenFiles = openFiles()
	a.view.Store(&view{started: time.Now(), turned: time.Now()})
	return a, nil
}

// openFiles is how many files one nginx worker may have: what we may allow it,
// which in some containers is less than it would like.
func openFiles() int {
	const enough = 65536
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max > enough {
		return enough
	}
	return int(limit.Max)
}

// Run keeps nginx serving the newest table that could be put in force, and
// first takes over one that a killed predecessor left. When ctx ends it lets
// nginx finish the requests under way and returns nil. An error means that
// the runtime directory cannot be used. The observer may be nil.
func (a *Agent) Run(ctx context.Context, observer Observer) error {
	lock, err := a.dir.open()
	if err != nil {
		return err
	}
	defer lock.Close()
	store, err := weights.Open(string(a.dir))
	if err != nil {
		return err
	}
	close(a.opened)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	helpers.Go(func() { a.names.Run(ctx) })
	if observer == nil {
		observer = noObserver{}
	}
	a.master.ObserveLog(observer)
	newOwner(a, store, observer).run(ctx)
	return nil
}

// RuntimeDirReady is closed when Run has made the runtime directory and has it for
// itself: from then on others may use it.
func (a *Agent) RuntimeDirReady() <-chan struct{} { return a.opened }

// ApplyTable hands over the newest table, and where it came from. It will be put
// in force, unless a newer one comes first; Snapshot tells how that went.
func (a *Agent) ApplyTable(table *migration.Table, source string) {
	a.inbox.put(func(o *owner) { o.offered(offer{table: table, source: source}) })
}

// SetLastGood hands over what was in force before a restart. It is put in
// force only while nothing is and the newest table is refused, which then has
// another try.
func (a *Agent) SetLastGood(table *migration.Table, source string) {
	a.inbox.put(func(o *owner) { o.offeredLastGood(offer{table: table, source: source}) })
}

// ReportInvalid records that the newest config could not be read: what is in force
// stays in force. Stage is "load" or the like.
func (a *Agent) ReportInvalid(stage, source string, problems []string) {
	a.inbox.put(func(o *owner) { o.unreadable(stage, source, problems) })
}

// SetFallback puts the fallback's verdict on a service in force at once:
// FallenBack sends all its traffic to old, any other phase lets its share
// decide.
func (a *Agent) SetFallback(name migration.Name, phase status.Phase, reason string) {
	a.inbox.put(func(o *owner) { o.fallback(name, verdict{phase, reason}) })
}

// Drain makes every answer from now on ask its client to reconnect, so that it
// finds somebody else: the proxy is about to end. An nginx that does not need
// it (nginx.Version.NeedsDrain) goes on as before.
func (a *Agent) Drain() { a.inbox.put((*owner).leave) }

// ReopenLogs lets nginx open its log files again, after a rotation.
func (a *Agent) ReopenLogs() error { return a.master.Reopen() }

// inbox holds what the owner has yet to do. It never blocks and keeps order.
type inbox struct {
	wake  chan struct{}
	mu    sync.Mutex
	tasks []func(*owner)
}

func (i *inbox) put(task func(*owner)) {
	i.mu.Lock()
	i.tasks = append(i.tasks, task)
	i.mu.Unlock()
	select {
	case i.wake <- struct{}{}:
	default:
	}
}

func (i *inbox) take() []func(*owner) {
	i.mu.Lock()
	defer i.mu.Unlock()
	tasks := i.tasks
	i.tasks = nil
	return tasks
}
