package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/internal/status"
	"github.com/migration-proxy/migration-proxy/migration"
	"github.com/migration-proxy/migration-proxy/nginxgen"
	"github.com/migration-proxy/migration-proxy/proxy/certfiles"
	"github.com/migration-proxy/migration-proxy/proxy/nginx"
	"github.com/migration-proxy/migration-proxy/proxy/resolve"
	"github.com/migration-proxy/migration-proxy/proxy/weights"
	"github.com/migration-proxy/migration-proxy/proxy/workermemory"
)

// Options are the parts and times of an Agent. A time of zero means the
// default.
type Options struct {
	// Params are passed on to nginxgen. RuntimeDir (absolute, at most 90
	// bytes, because it holds a unix socket) is required. The agent sets
	// Version, PCREJIT, ErrorLog and OpenFiles.
	Params    nginxgen.Params
	NginxPath string // path or name of the nginx binary
	Version   string // version of this program, for the status
	Log       *slog.Logger
	Resolve   resolve.Options
	// MemoryLimit is how many bytes the container may have, see package workermemory; 0 is no
	// limit. MemoryUsed is how many it has; nil: those of the control group.
	MemoryLimit int64
	MemoryUsed  func() (int64, error)
	// CertInterval is how often certificate files are looked at; 2 s.
	CertInterval time.Duration

	ReloadEvery     time.Duration // minimum time between two reloads; 1 s
	ReadbackTimeout time.Duration // until nginx must serve a new config; 10 s
	DrainTime       time.Duration // before a reload, where nginx needs it; 50 ms
	QuitTimeout     time.Duration // for requests in progress when Run ends; 30 s
}

func (o *Options) setDefaults() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.ReloadEvery = orDefault(o.ReloadEvery, time.Second)
	o.ReadbackTimeout = orDefault(o.ReadbackTimeout, 10*time.Second)
	o.DrainTime = orDefault(o.DrainTime, 50*time.Millisecond)
}

func orDefault(d, defaultValue time.Duration) time.Duration {
	if d == 0 {
		return defaultValue
	}
	return d
}

// Observer sees what the agent and nginx do. The methods are called from the
// goroutines that run the agent and read nginx's error log, so they must be
// quick. They may call the Agent.
type Observer interface {
	// ConfigApplied is called with each table once it is in force.
	ConfigApplied(table *migration.Table)
	// ShareApplied is called with each share that comes in force, after the last
	// request that another share may have decided has begun. It is 0 while the
	// service is disabled or has fallen back.
	ShareApplied(service migration.Name, share migration.Share)
	// NginxLogged is called with every line of nginx's error log, without
	// time, level and process id, at most 100 ms after nginx wrote it.
	NginxLogged(line string)
}

type noObserver struct{}

func (noObserver) ConfigApplied(*migration.Table) {}
func (noObserver) NginxLogged(string)             {}

func (noObserver) ShareApplied(migration.Name, migration.Share) {}

// Agent puts tables in force in one nginx. All methods except Run return
// without waiting, and may be called from any goroutine, also before Run.
type Agent struct {
	options         Options
	dir             runtimeDir
	nginx           *nginx.Nginx
	master          *nginx.Supervisor
	names           *resolve.Resolver
	certs           *certfiles.Store
	inbox           inbox
	sides           *sideWatch
	memory          *workermemory.Guard
	knownHoles      []string // see status.Nginx
	published       atomic.Pointer[loopState]
	runtimeDirReady chan struct{}
}

// maxSocketPath is the maximum length of the path of a unix socket, without
// the final zero byte.
const maxSocketPath = 107

// New finds nginx and changes nothing on disk. Its error says what is missing.
func New(ctx context.Context, options Options) (*Agent, error) {
	options.setDefaults()
	dir := options.Params.RuntimeDir
	if !filepath.IsAbs(dir) || len(dir)+1+nginxgen.LongestSocket > maxSocketPath {
		return nil, fmt.Errorf("runtime directory %q: write an absolute path of at most %d bytes", dir, maxSocketPath-1-nginxgen.LongestSocket)
	}
	binary, err := nginx.Find(ctx, options.NginxPath, dir)
	if err != nil {
		return nil, err
	}
	a := &Agent{
		options:         options,
		dir:             runtimeDir(dir),
		nginx:           binary,
		master:          nginx.NewSupervisor(binary, nginx.Options{Log: options.Log, QuitTimeout: options.QuitTimeout}),
		names:           resolve.New(options.Resolve),
		inbox:           inbox{wake: make(chan struct{}, 1)},
		runtimeDirReady: make(chan struct{}),
	}
	a.options.Params.Version, a.options.Params.PCREJIT = binary.Version, binary.PCREJIT
	for _, hole := range binary.Version.Holes() {
		a.knownHoles = append(a.knownHoles, hole.ID+": "+hole.What)
	}
	a.options.Params.ErrorLog = a.dir.path("error.log")
	a.options.Params.OpenFiles = openFiles()
	a.certs = certfiles.New(certfiles.Options{
		Dir: a.dir.path("certs"), System: systemCerts(&a.options.Params), Interval: options.CertInterval, Log: options.Log,
	})
	a.sides = &sideWatch{agent: a}
	a.memory = &workermemory.Guard{Workers: a.master.WorkerIDs, Log: a.options.Log}
	a.published.Store(&loopState{startedAt: time.Now(), publishedAt: time.Now()})
	return a, nil
}

// systemCerts are the files with trusted certificates that every config needs.
func systemCerts(params *nginxgen.Params) []string {
	return slices.DeleteFunc([]string{params.CAFile, params.AnchorFile}, func(file string) bool { return file == "" })
}

// openFiles is the limit of open files for one nginx worker: 65,536, or the
// hard limit of this process, which is lower in some containers.
func openFiles() int {
	const enough = 65536
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit.Max > enough {
		return enough
	}
	return int(limit.Max)
}

// Run takes over the nginx of a killed predecessor, if there is one, and keeps
// nginx serving the newest table that could be put in force. When ctx ends,
// nginx finishes the requests in progress and Run returns nil. An error means
// that the runtime directory cannot be used. The observer may be nil.
func (a *Agent) Run(ctx context.Context, observer Observer) error {
	lock, err := a.dir.open()
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := a.nginx.CheckWorkers(a.options.Params.User); err != nil {
		return fmt.Errorf("%w%s; choose another with --runtime-dir, or let others enter (chmod o+x)", err, a.dir.obstacle())
	}
	store, err := weights.Open(string(a.dir))
	if err == nil {
		err = store.Apply(weights.CheckedService, checkedWeight)
	}
	if err != nil {
		return err
	}
	close(a.runtimeDirReady)
	if len(a.knownHoles) > 0 {
		a.options.Log.Warn("this version of nginx has known holes, unless its distributor mended them",
			"version", a.nginx.Version, "holes", a.knownHoles, "recommended", nginxgen.Recommended)
	}
	if observer == nil {
		observer = noObserver{}
	}
	a.master.ObserveLog(suspectLog{observer, a.names, a.memory})
	var helpers sync.WaitGroup
	defer helpers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	helpers.Go(func() { a.names.Run(ctx) })
	helpers.Go(func() { a.certs.Run(ctx) })
	helpers.Go(func() { a.sides.run(ctx) })
	a.memory.Limit, a.memory.Used = a.options.MemoryLimit, a.options.MemoryUsed
	helpers.Go(func() { a.memory.Run(ctx) })
	newAgentLoop(a, store, observer).run(ctx)
	return nil
}

// RuntimeDirReady is closed when Run has created and locked the runtime
// directory. Other parts of the program may use the directory from then on.
func (a *Agent) RuntimeDirReady() <-chan struct{} { return a.runtimeDirReady }

// WorkerID is the user of nginx's workers, if it is another one than that of this
// process and known.
func (a *Agent) WorkerID() (uid int, other bool) { return a.nginx.WorkerID(a.options.Params.User) }

// ApplyTable makes this the table to put in force, instead of any earlier one
// that still waits; source says where it was read. Status reports whether nginx
// accepted it.
func (a *Agent) ApplyTable(table *migration.Table, source string) {
	a.inbox.put(func(l *agentLoop) { l.acceptTable(version{table: table, source: source}) })
}

// SetLastGood names the table that was in force before a restart. The agent
// uses it only while no table is in force and the newest one is rejected; after
// that it tries the newest one again.
func (a *Agent) SetLastGood(table *migration.Table, source string) {
	a.inbox.put(func(l *agentLoop) { l.acceptLastGood(version{table: table, source: source}) })
}

// ReportInvalid records that the newest config could not become a table; the
// table in force stays. The stage is "load" or similar.
func (a *Agent) ReportInvalid(stage, source string, problems []string) {
	a.inbox.put(func(l *agentLoop) { l.rejectInvalid(stage, source, problems) })
}

// SetFallback applies the state of a service's circuit breaker at once:
// FallenBack sends all its traffic to old; with any other phase its share
// decides.
func (a *Agent) SetFallback(name migration.Name, phase status.Phase, reason string) {
	a.inbox.put(func(l *agentLoop) { l.fallbacks[name] = fallbackState{phase, reason} })
}

// SetPositions says how far the ramps of services have come: their shares are at most
// these. A service with a ramp that is missing here gets 0. It takes the map over.
func (a *Agent) SetPositions(positions map[migration.Name]migration.Share) {
	a.inbox.put(func(l *agentLoop) { l.positions = positions })
}

// Drain makes every response ask its client to reconnect, so that clients move
// to other replicas before this one ends. It has no effect on an nginx that
// does not need it (nginxgen.Version.NeedsDrain).
func (a *Agent) Drain() { a.inbox.put((*agentLoop).startDraining) }

// ReopenLogs makes nginx open its log files again, after a rotation.
func (a *Agent) ReopenLogs() error { return a.master.Reopen() }
