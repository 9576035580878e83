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

// The environment variables that name an existing cluster, and the images that its
// nodes have. The older image may be the same as the current one.
const (
	KubeconfigVariable = "MIGRATION_PROXY_E2E_KUBECONFIG"
	imageVariable      = "MIGRATION_PROXY_E2E_IMAGE"       // default migration-proxy:e2e
	olderVariable      = "MIGRATION_PROXY_E2E_OLDER_IMAGE" // default migration-proxy:e2e-older
	actorVariable      = "MIGRATION_PROXY_E2E_ACTOR_IMAGE" // default migration-proxy-e2e:e2e
)

// images are the names of the images that Pods run.
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

// Cluster is the cluster in which scenarios run. It is safe for concurrent use.
type Cluster struct {
	Client kubernetes.Interface
	// OnCommand, if not nil, is called with each command before it runs.
	OnCommand func(Command)

	config     *rest.Config
	kubeconfig string
	root, dir  string // the repository, and a working directory for programs
	programs   programs
	images     images
	local      *localcluster.Cluster         // nil for a cluster that already existed
	cleanups   []func(context.Context) error // remove what this run created in an existing cluster
	// edits protects the migration config: kubectl edit replaces the whole text
	// without a conflict check, so it must not run together with other edits. The
	// other edits detect conflicts.
	edits sync.RWMutex
}

// ClientAs is a client with the rights of another user.
func (c *Cluster) ClientAs(user string) (kubernetes.Interface, error) {
	config := rest.CopyConfig(c.config)
	config.Impersonate.UserName = user
	return kubernetes.NewForConfig(config)
}

// Main calls the function with a cluster in which all actors run, and gives its exit
// status. It must come first in main or TestMain: for the namespaces of a local
// cluster the program starts again. progress, if not nil, gets the steps that take
// seconds.
func Main(progress func(doing string), run func(*Cluster) int) int {
	if progress == nil {
		progress = func(string) {}
	}
	inside := func() int {
		ctx := context.Background()
		cluster, err := Open(ctx, progress)
		if err != nil {
			fmt.Fprintln(os.Stderr, "open the cluster for the scenarios:", err)
			return 1
		}
		code := run(cluster)
		if err := cluster.Close(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "close the cluster:", err)
			code = max(code, 1)
		}
		return code
	}
	if os.Getenv(KubeconfigVariable) != "" {
		return inside()
	}
	return localcluster.Isolate(inside)
}

// Open finds or starts the cluster, starts the actors and installs the chart.
func Open(ctx context.Context, progress func(doing string)) (*Cluster, error) {
	root, err := controlplane.Repository()
	if err != nil {
		return nil, err
	}
	c := &Cluster{root: root, images: chosenImages(), kubeconfig: os.Getenv(KubeconfigVariable)}
	parent := ""
	if c.kubeconfig == "" {
		parent = tmpfs
	}
	if c.dir, err = os.MkdirTemp(parent, "migration-proxy-e2e-"); err != nil {
		return nil, err
	}
	if err := c.open(ctx, progress); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

// tmpfs is a directory in memory inside localcluster.Isolate, which ends with it.
const tmpfs = "/run"

func (c *Cluster) open(ctx context.Context, progress func(doing string)) error {
	var err error
	progress("building migration-proxy and the actors")
	if c.programs, err = findPrograms(ctx, c.root); err != nil {
		return err
	}
	if c.kubeconfig == "" {
		progress("starting etcd, kube-apiserver, kube-controller-manager, cert-manager and a node")
		if err := c.startLocal(ctx); err != nil {
			return err
		}
	}
	if c.config, err = clientcmd.BuildConfigFromFlags("", c.kubeconfig); err != nil {
		return err
	}
	c.config.QPS = -1 // no client-side throttling
	c.config.WarningHandler = rest.NoWarnings{}
	if c.Client, err = kubernetes.NewForConfig(c.config); err != nil {
		return err
	}
	if err := c.createOwnNamespace(ctx, Namespace, c.uninstall); err != nil {
		return err
	}
	if err := c.createOwnNamespace(ctx, actorNamespace, c.removeActors); err != nil {
		return err
	}
	progress("starting an ingress controller and clients")
	if err := c.startActors(ctx); err != nil {
		return fmt.Errorf("start the actors: %w", err)
	}
	progress("installing: helm " + strings.Join(c.chartCommand(c.images.current).Args, " "))
	return c.install(ctx)
}

// startLocal starts a cluster of processes, with the programs that were just built as
// images.
func (c *Cluster) startLocal(ctx context.Context) error {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("MIGRATION_PROXY_E2E_VERBOSE") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	haproxyIngress, err := controlplane.Program(haproxyName)
	if err != nil {
		return err
	}
	c.local, err = localcluster.Start(ctx, localcluster.Options{
		Images: map[string]string{
			c.images.current: c.programs.current, c.images.older: c.programs.older, c.images.actor: c.programs.actor,
			haproxyImage: haproxyIngress,
		},
		CertManager: true, Log: log,
	})
	if err != nil {
		return err
	}
	c.kubeconfig = c.local.Kubeconfig()
	return nil
}

// Local tells whether this is a local cluster, whose API server may be stopped and
// whose figures are comparable.
func (c *Cluster) Local() bool { return c.local != nil }

// StopAPIServer kills the API server; only if Local.
func (c *Cluster) StopAPIServer(t T) {
	t.Helper()
	must(t, c.local.StopAPIServer(), "stop the API server")
}

// StartAPIServer starts the API server again, with its data.
func (c *Cluster) StartAPIServer(t T) {
	t.Helper()
	must(t, c.local.StartAPIServer(t.Context()), "start the API server")
}

// Close removes everything that this run created in the cluster, or the cluster if it
// is local.
func (c *Cluster) Close(ctx context.Context) error {
	if c.local != nil {
		return errors.Join(c.local.Close(), os.RemoveAll(c.dir))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*commandTimeout)
	defer cancel()
	var errs []error
	for _, cleanup := range c.cleanups {
		errs = append(errs, cleanup(ctx))
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}
