package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/migration-proxy/migration-proxy/internal/kube"
	"github.com/migration-proxy/migration-proxy/internal/listen"
	"github.com/migration-proxy/migration-proxy/internal/logging"
	"github.com/migration-proxy/migration-proxy/internal/names"
	"github.com/migration-proxy/migration-proxy/proxy/configsync"
	"github.com/migration-proxy/migration-proxy/proxy/dataplane"
	"github.com/migration-proxy/migration-proxy/proxy/localramp"
	"github.com/migration-proxy/migration-proxy/proxy/positions"
	"github.com/migration-proxy/migration-proxy/watcher"
)

// maxDrain is far above what any load balancer needs to notice.
const maxDrain = 10 * time.Minute

// minRampInterval is long enough that the access log has been read.
const minRampInterval = 200 * time.Millisecond

type runOptions struct {
	listeners
	dataPlane dataplane.Options
	cluster   clusterOptions // of the ConfigMap, if file is ""
	file      string
	workers   string

	accessLogFormat string // logging.Text or logging.JSON
	logs            logOptions
	memory          memoryOptions
}

func newRun() *cobra.Command {
	var options runOptions
	cmd := &cobra.Command{
		Use:   "run [--local-config FILE]",
		Short: "Run the proxy: one supervised nginx that serves the config",
		Long: `Run the proxy: one supervised nginx that serves the migration config, from
FILE or else from the cluster's ConfigMap, and goes on serving it while it is
edited. A changed percentage is in force in milliseconds and drops nothing. A
bad edit is refused, logged with line and column, and changes nothing: the
last good config stays in force, also over a restart or without API server.

On SIGTERM and SIGINT requests in flight may finish, and with --drain new ones
come in for that long; a second signal does not wait. SIGHUP reads FILE again.`,
		Example: `  migration-proxy run                                        # in a pod
  migration-proxy run --local-config migration.yaml
  migration-proxy run --local-config migration.yaml --listen 127.0.0.1:8000 --access-log off`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := options.check(); err != nil {
				return err
			}
			if err := options.complete(cmd); err != nil {
				return err
			}
			// What nginx and this program write is for this user alone.
			syscall.Umask(0o077)
			return dataplane.Run(cmd.Context(), options.dataPlane)
		},
	}
	options.flags(cmd)
	return cmd
}

func (o *runOptions) flags(cmd *cobra.Command) {
	o.listeners.flags(cmd)
	flags := cmd.Flags()
	o.dataPlane.HTTP = listen.OnLoopback(names.HTTPPort)
	flags.Var(&o.dataPlane.HTTP, "http", "where /health, /ready, /metrics, /status, /evidence, /history and the page for browsers are; without --local-config the default is "+listen.OnAll(names.HTTPPort).String())
	flags.StringVar(&o.file, "local-config", "", "migration config to serve, instead of the ConfigMap")
	flags.StringVar(&o.cluster.namespace, "namespace", "", "namespace of ConfigMap "+names.ConfigMap+"; the pod's or the kubeconfig's")
	flags.StringVar(&o.dataPlane.RuntimeDir, "runtime-dir", dataplane.DefaultRuntimeDir(), "the one directory that is written to; best in memory")
	flags.DurationVar(&o.dataPlane.Drain, "drain", 0, "how long SIGTERM leaves the ports open, while /ready says no")
	flags.DurationVar(&o.dataPlane.Ramps, "ramp-interval", localramp.DefaultInterval, "time between two steps of the ramps of FILE")
	must(flags.MarkHidden("ramp-interval")) // for the demo and tests: shorter slots judge as well, and write more
	flags.StringVar(&o.dataPlane.Nginx, "nginx", "nginx", "nginx binary")
	flags.StringVar(&o.workers, "workers", "auto", "nginx workers; auto is one per CPU that the proxy may use")
	flags.StringVar(&o.dataPlane.AccessLog, "access-log", dataplane.AccessLogStdout, "file, - for standard output, or off")
	flags.StringVar(&o.accessLogFormat, "access-log-format", logging.Text, "text, as nginx writes it, or json")
	completeWords(cmd, "access-log-format", logging.Text, logging.JSON)
	environmentOf(flags, "listen", "listen-new", "listen-grpc", "http", "local-config", "namespace", "ramp-interval", "runtime-dir",
		"drain", "nginx", "workers", "access-log", "access-log-format")
	o.logs.flags(cmd)
	o.memory.flags(cmd)
}

// check refuses flags that make no sense.
func (o *runOptions) check() error {
	if o.file == "-" {
		return wrongUsage("--local-config -: name a file, which can be read again when it changes")
	}
	if drain := o.dataPlane.Drain; drain < 0 || drain > maxDrain {
		return wrongUsage("--drain %s: use 0s to %s", drain, maxDrain)
	}
	if interval := o.dataPlane.Ramps; interval < minRampInterval || interval > maxDrain {
		return wrongUsage("--ramp-interval %s: use %s to %s", interval, minRampInterval, maxDrain)
	}
	if err := oneOf("access-log-format", o.accessLogFormat, logging.Text, logging.JSON); err != nil {
		return err
	}
	o.dataPlane.JSONLog = o.accessLogFormat == logging.JSON
	if err := o.logs.check(); err != nil {
		return err
	}
	if err := o.memory.check(); err != nil {
		return err
	}
	if err := o.countWorkers(); err != nil {
		return err
	}
	dir, err := filepath.Abs(o.dataPlane.RuntimeDir)
	if err != nil {
		return wrongUsage("--runtime-dir %q: %w", o.dataPlane.RuntimeDir, err)
	}
	if o.dataPlane.RuntimeDir = dir; len(dir) > dataplane.MaxRuntimeDir {
		return wrongUsage("--runtime-dir %s: longer than %d bytes, and a unix socket goes there", dir, dataplane.MaxRuntimeDir)
	}
	return nil
}

func (o *runOptions) countWorkers() error {
	if o.workers == "auto" {
		o.dataPlane.Workers = runtime.GOMAXPROCS(0) // respects the container's CPU limit
		return nil
	}
	count, err := strconv.Atoi(o.workers)
	if err != nil || count < 1 || count > 1024 {
		return wrongUsage("--workers %q: use auto or a number from 1 to 1024", o.workers)
	}
	o.dataPlane.Workers = count
	return nil
}

// complete adds what the flags do not say by themselves.
func (o *runOptions) complete(cmd *cobra.Command) (err error) {
	if runtime.GOOS != "linux" {
		return errors.New("the data plane needs Linux; the commands that talk to a cluster work here")
	}
	o.dataPlane.Listen, o.dataPlane.ListenNew, o.dataPlane.ListenGRPC = o.listen, o.listenNew, o.listenGRPC
	o.dataPlane.Version = versionText()
	o.dataPlane.Log = o.logs.logger(cmd.ErrOrStderr())
	slog.SetDefault(o.dataPlane.Log)
	o.memory.apply(40)
	o.dataPlane.Memory = o.memory.limit
	o.dataPlane.BehindControllers = o.file == ""
	if o.file == "" && !cmd.Flags().Changed("http") {
		o.dataPlane.HTTP = listen.OnAll(names.HTTPPort) // for the kubelet and the watcher
	}
	o.dataPlane.Source, err = o.source()
	return err
}

// source is the file, or the ConfigMap of the cluster.
func (o *runOptions) source() (configsync.Source, error) {
	if o.file != "" {
		return configsync.NewFile(o.file), nil
	}
	log := o.dataPlane.Log
	kube.LogClientGo(log, o.logs.level)
	cluster, err := o.cluster.connect()
	if err != nil {
		return nil, fmt.Errorf("%w; set $KUBECONFIG, or name a config file with --local-config", err)
	}
	o.dataPlane.Positions = positions.ConfigMap{Object: cluster.ConfigMap(names.RampMap, log)}
	return configsync.NewConfigMap(cluster.ConfigMap(names.ConfigMap, log), watcher.ControllerLag), nil
}
