package dataplane

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Run runs the proxy until the process is told to end by a signal, or ctx
// ends. An error says why it cannot start, or cannot go on.
func Run(ctx context.Context, options Options) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	// The reader of standard output or error may go away. By default SIGPIPE
	// would then end the proxy; when it is received, writes fail instead, and
	// lines are dropped and counted. It is not ignored, because nginx would
	// inherit that.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)

	p, err := newDataPlane(ctx, options)
	if err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	go p.handleSignals(signals, quit)
	return p.run(ctx)
}

// handleSignals also handles signals while the proxy ends: a second one does
// not wait for requests.
func (p *dataPlane) handleSignals(signals <-chan os.Signal, quit func()) {
	for received := range signals {
		switch {
		case received == syscall.SIGHUP:
			p.options.Source.Reread()
		case !p.draining.Swap(true):
			p.log.Info("shutting down, requests in flight may finish, a second signal does not wait", "signal", received.String(), "drain", p.options.Drain)
			p.drain(quit)
		default:
			p.log.Warn("shutting down at once", "signal", received.String())
			quit()
			p.terminateNginx()
		}
	}
}

// drain calls quit after the drain time. Until then the proxy serves as before,
// except that /ready says no and the clients of keep-alive connections are
// asked to reconnect: load balancers need the time to send them elsewhere.
func (p *dataPlane) drain(quit func()) {
	p.agent.Drain()
	time.AfterFunc(p.options.Drain, quit)
}

// terminateNginx ends nginx without waiting for its requests. The agent, which
// waits for nginx, then ends too.
func (p *dataPlane) terminateNginx() {
	pid := p.agent.Summary().Nginx.PID
	if pid == 0 {
		return
	}
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		p.log.Error("nginx did not get the signal to end", "pid", pid, "error", err)
	}
}
