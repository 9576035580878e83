package world

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/migration-proxy/migration-proxy/e2e/localcluster"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

// The environment that names a cluster to use, and the images that are loaded
// there. The older image may be the same as the current one.
const (
	KubeconfigVariable = "MIGRATION_PROXY_E2E_KUBECONFIG"
	imageVariable      = "MIGRATION_PROXY_E2E_IMAGE"       // default migration-proxy:e2e
	olderVariable      = "MIGRATION_PROXY_E2E_OLDER_IMAGE" // default migration-proxy:e2e-older
	actorVariable      = "MIGRATION_PROXY_E2E_ACTOR_IMAGE" // default migration-proxy-e2e:e2e
)

// images are what Pods run, by name.
type images struct{ current, older, actor string }

func chosenImages() images {
	or := func(name, otherwise string) string {
		if value := os.Getenv(name); value != "" {
			return value
		}
		return otherwise
	}
	return images{
		current: or(imageVariable, "migration-proxy:e2e"), older: or(olderVariable, "migration-proxy:e2e-older"),
		actor: or(actorVariable, "migration-proxy-e2e:e2e"),
	}
}

// Cluster is where the scenarios play. Safe for concurrent use.
type Cluster struct {
	Client kubernetes.Interface
	// Typed, if set, hears each command before it runs.
	Typed func(Command)

	config     *rest.Config
	kubeconfig string
	root, dir  string // of the repository; for what programs write
	programs   programs
	images     images
	local      *localcluster.Cluster         // nil: somebody else's cluster
	leaves     []func(context.Context) error // take back what this run put into somebody else's cluster
	// edits is held by those who change the migration config: kubectl edit
	// sends the whole text, whatever it has become meanwhile, so it must be
	// alone. All others notice each other.
	edits sync.RWMutex
}

// Main runs the function with a cluster on which the stage is set, and gives
// its exit status. It comes first in main or TestMain: a local cluster needs
// namespaces of its own, for which the program is started once more. Tell, if
// not nil, hears what takes seconds before the function is called.
func Main(tell func(doing string), run func(*Cluster) int) int {
	if tell == nil {
		tell = func(string) {}
	}
	inside := func() int {
		ctx := context.Background()
		cluster, err := Open(ctx, tell)
		if err != nil {
			fmt.Fprintln(os.Stderr, "no cluster for the scenarios:", err)
			return 1
		}
		code := run(cluster)
		if err := cluster.Close(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "end of the cluster:", err)
			code = max(code, 1)
		}
		return code
	}
	if os.Getenv(KubeconfigVariable) != "" {
		return inside()
	}
	return localcluster.Isolate(inside)
}

// Open finds or makes the cluster, sets the stage and installs the chart.
func Open(ctx context.Context, tell func(doing string)) (*Cluster, error) {
	root, err := controlplane.Repository()
	if err != nil {
		return nil, err
	}
	c := &Cluster{root: root, images: chosenImages(), kubeconfig: os.Getenv(KubeconfigVariable)}
	parent := ""
	if c.kubeconfig == "" {
		parent = scratch
	}
	if c.dir, err = os.MkdirTemp(parent, "migration-proxy-e2e-"); err != nil {
		return nil, err
	}
	if err := c.open(ctx, tell); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// scratch is memory that only the inside of localcluster.Isolate sees:
// nothing of it stays, however the program ends.
const scratch = "/run"

func (c *Cluster) open(ctx context.Context, tell func(doing string)) error {
	var err error
	tell("building migration-proxy and the actors")
	if c.programs, err = findPrograms(ctx, c.root); err != nil {
		return err
	}
	if c.kubeconfig == "" {
		tell("starting etcd, kube-apiserver, kube-controller-manager, cert-manager and a node")
		if err := c.startLocal(ctx); err != nil {
			return err
		}
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return err
	}
	c.config.QPS = -1 // no brake of our own
	c.config.WarningHandler = rest.NoWarnings{}
	if c.Client, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	if err := c.claim(ctx, Namespace, c.uninstall); err != nil {
		return err
	}
	if err := c.claim(ctx, stageNamespace, c.clearStage); err != nil {
		return err
	}
	tell("starting an ingress controller and clients")
	if err := c.setStage(ctx); err != nil {
		return fmt.Errorf("set the stage: %w", err)
	}
	tell("installing: helm " + strings.Join(c.chartCommand(c.images.current).Args, " "))
	return c.install(ctx)
}

// startLocal makes a cluster of processes. What the images would contain is
// what was just built.
func (c *Cluster) startLocal(ctx context.Context) error {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("MIGRATION_PROXY_E2E_VERBOSE") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	var err error
	c.local, err = localcluster.Start(ctx, localcluster.Options{
		Images: map[string]string{
			c.images.current: c.programs.current, c.images.older: c.programs.older, c.images.actor: c.programs.actor,
		},
		CertManager: true, Log: log,
	})
	if err != nil {
		return err
	}
	c.kubeconfig = c.local.Kubeconfig()
	return nil
}

// Local tells whether the cluster is ours alone: whether its API server may be
// stopped, and figures be taken.
func (c *Cluster) Local() bool { return c.local != nil }

// StopAPIServer ends the API server as an outage does; only if Local.
func (c *Cluster) StopAPIServer(t T) {
	t.Helper()
	must(t, c.local.StopAPIServer(), "stop the API server")
}

// StartAPIServer brings it back with its data.
func (c *Cluster) StartAPIServer(t T) {
	t.Helper()
	must(t, c.local.StartAPIServer(t.Context()), "start the API server")
}

// Close removes what this run put into the cluster, or the cluster, if it is
// ours.
func (c *Cluster) Close(ctx context.Context) error {
	if c.local != nil {
		return errors.Join(c.local.Close(), os.RemoveAll(c.dir))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*commandPatience)
	defer cancel()
	var errs []error
	for _, leave := range c.leaves {
		errs = append(errs, leave(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
