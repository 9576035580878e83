package manager

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/migration-proxy/migration-proxy/internal/logging"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// Run runs the process until a signal tells it to end, or ctx ends. An error
// says why it cannot start, or cannot go on.
func Run(ctx context.Context, options Options) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	logControllerRuntime(options.Log)
	m, err := newManager(options)
	if err != nil {
		return err
	}
	// When run fails, this is canceled before stop is called: nothing is logged.
	defer context.AfterFunc(ctx, func() {
		m.log.Info("shutting down, admission answers until the drain time is over", "drain", options.Drain)
		stop() // from now on a second signal ends the process at once
	})()
	return m.run(ctx)
}

// logControllerRuntime sends the log lines of controller-runtime, and those of
// net/http about failed handshakes, to log.
func logControllerRuntime(log *slog.Logger) {
	ctrllog.SetLogger(logr.FromSlogHandler(log.With(logging.ComponentKey, "controller-runtime").Handler()))
	slog.SetDefault(log)
}

// run runs all parts until ctx ends or one of them fails. The watcher ends at
// once, so that another replica can take over; admission answers until the
// drain time is over, in which the API server learns to ask another replica. A
// lost lease ends the process: an update by this watcher must not meet those
// of the next leader.
func (m *manager) run(ctx context.Context) error {
	group, running := errgroup.WithContext(ctx)
	lasting, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group.Go(func() error { return m.api.Run(lasting, m.listener) })
	group.Go(func() error { return m.certificate.Run(lasting) })
	group.Go(func() error { return m.configCache.Follow(lasting) })
	group.Go(func() error { m.notes.Run(lasting); return nil })
	group.Go(func() error { return m.server.Start(lasting) })
	group.Go(func() error { return m.leader.Start(running) })
	group.Go(func() error { m.logElection(running); return nil })
	group.Go(func() error {
		defer end()
		<-running.Done()
		m.drain(ctx)
		return nil
	})
	return group.Wait()
}

// drain waits while admission goes on. It does not wait when a part has
// failed, which ctx does not show: the process must start again soon.
func (m *manager) drain(ctx context.Context) {
	m.draining.Store(true)
	m.server.Drain()
	if ctx.Err() != nil {
		time.Sleep(m.options.Drain)
	}
}

func (m *manager) logElection(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-m.leader.Elected():
		m.log.Info("this replica runs the watcher", "lease", names.Lease)
	}
}
