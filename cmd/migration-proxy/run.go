package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/names"
)

// longestDir leaves room for the name of a unix socket in it: the kernel
// takes 107 bytes in all.
const longestDir = 90

// mostDrain is far above what any load balancer needs to notice.
const mostDrain = 10 * time.Minute

type runOptions struct {
	listeners
	cluster                 clusterOptions // of the ConfigMap, if file is ""
	http                    listenAddress
	file, runtimeDir, nginx string
	drain                   time.Duration
	workers                 string
	accessLog               string
	logs                    logOptions
	workerCount             int
}

func newRun() *cobra.Command {
	options := runOptions{http: listenOn(names.HTTPPort)}
	cmd := &cobra.Command{
		Use:   "run [--local-config FILE]",
		Short: "Run the proxy: one supervised nginx that serves the config",
		Long: `Run the proxy: one supervised nginx that serves the migration config, from
FILE or else from the cluster's ConfigMap, and goes on serving it while it is
edited. A changed percentage is in force in milliseconds and drops nothing. A
bad edit is refused, logged with line and column, and changes nothing: the
last good config stays in force, also over a restart or without API server.

SIGTERM and SIGINT let the requests under way finish, and with --drain new ones
come in for that long; a second one does not wait. SIGHUP reads FILE again.`,
		Example: `  migration-proxy run                                        # in a pod
  migration-proxy run --local-config migration.yaml
  migration-proxy run --local-config migration.yaml --listen 127.0.0.1:8000 --access-log off`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return err
			}
			return runProxy(cmd, options)
		},
	}
	options.flags(cmd)
	return cmd
}

func (o *runOptions) flags(cmd *cobra.Command) {
	o.listeners.flags(cmd)
	flags := cmd.Flags()
	flags.Var(&o.http, "http", "where /health, /ready, /metrics and /status are")
	flags.StringVar(&o.file, "local-config", "", "migration config to serve, instead of the ConfigMap")
	flags.StringVar(&o.cluster.namespace, "namespace", "", "namespace of ConfigMap "+names.ConfigMap+"; the pod's or the kubeconfig's")
	flags.StringVar(&o.runtimeDir, "runtime-dir", defaultRuntimeDir(), "the one directory that is written to; best in memory")
	flags.DurationVar(&o.drain, "drain", 0, "how long SIGTERM leaves the ports open, while /ready says no")
	flags.StringVar(&o.nginx, "nginx", "nginx", "nginx binary")
	flags.StringVar(&o.workers, "workers", "auto", "nginx workers; auto is one per CPU that we may use")
	flags.StringVar(&o.accessLog, "access-log", "-", "file, - for standard output, or off")
	environmentOf(flags, "listen", "listen-new", "http", "local-config", "namespace", "runtime-dir",
		"drain", "nginx", "workers", "access-log")
	o.logs.flags(cmd)
}

// defaultRuntimeDir is /run for root, else what the system gives a user for
// such things.
func defaultRuntimeDir() string {
	const name = "migration-proxy"
	if os.Geteuid() == 0 {
		return filepath.Join("/run", name)
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, name)
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("%s-%d", name, os.Geteuid()))
}

// check refuses values that make no sense, before anything is begun.
func (o *runOptions) check() error {
	if o.file == "-" {
		return wrongUsage("--local-config -: name a file, which can be read again when it changes")
	}
	if o.drain < 0 || o.drain > mostDrain {
		return wrongUsage("--drain %s: use 0s to %s", o.drain, mostDrain)
	}
	if err := o.logs.check(); err != nil {
		return err
	}
	o.workerCount = runtime.GOMAXPROCS(0) // respects the container's CPU limit
	if o.workers != "auto" {
		count, err := strconv.Atoi(o.workers)
		if err != nil || count < 1 || count > 1024 {
			return wrongUsage("--workers %q: use auto or a number from 1 to 1024", o.workers)
		}
		o.workerCount = count
	}
	dir, err := filepath.Abs(o.runtimeDir)
	if err != nil {
		return wrongUsage("--runtime-dir %q: %w", o.runtimeDir, err)
	}
	if o.runtimeDir = dir; len(dir) > longestDir {
		return wrongUsage("--runtime-dir %s: longer than %d bytes, and a unix socket goes there", dir, longestDir)
	}
	return nil
}

// source is the file, or the ConfigMap of the cluster.
func (o *runOptions) source(log *slog.Logger) (source, error) {
	if o.file != "" {
		return newFileSource(o.file), nil
	}
	kube.LogClientGo(log, o.logs.level)
	cluster, err := o.cluster.connect()
	if err != nil {
		return nil, fmt.Errorf("%w; set $KUBECONFIG, or name a config file with --local-config", err)
	}
	return newConfigMapSource(cluster.ConfigMap(names.ConfigMap, log)), nil
}

func runProxy(cmd *cobra.Command, options runOptions) error {
	log := options.logs.logger(cmd.ErrOrStderr())
	slog.SetDefault(log)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	// Who reads our standard output or error may go; by default that would
	// end us. Writes then fail, and lines are dropped and counted. Not
	// ignored: nginx would inherit that.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	plane, err := newDataPlane(cmd.Context(), options, log)
	if err != nil {
		return err
	}
	ctx, quit := context.WithCancel(cmd.Context())
	defer quit()
	go plane.obey(signals, quit)
	return plane.run(ctx)
}
