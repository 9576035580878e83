package podrunner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Options says for whom and as what a runner works.
type Options struct {
	Config *rest.Config // may do all that a kubelet, a scheduler and a DNS server may
	Node   string       // the Node's name
	Dir    string       // gets volumes, roots and the containers' output (Dir/logs)
	// Images are the binaries that stand for images: name as in the Pod, with
	// its tag, or without for all tags.
	Images map[string]string
	// Bridge is the interface that Pods are joined to; Network is its address
	// and length, like 10.99.0.1/16. Pods get the addresses that follow, and
	// ask its port 53 for names.
	Bridge  string
	Network netip.Prefix
	// APIServer is what Pods are told as KUBERNETES_SERVICE_HOST and _PORT.
	APIServer netip.AddrPort
	Services  netip.Prefix // the range of ClusterIPs, which are relayed
	Log       *slog.Logger // nil: nothing is said
}

// Runner is a node that runs.
type Runner struct {
	options Options
	client  kubernetes.Interface
	known   informers.SharedInformerFactory
	network *network
	stop    context.CancelFunc
	all     sync.WaitGroup // everything that was started

	mu      sync.Mutex
	workers map[types.UID]*worker
}

// Start registers the Node, runs Pods from then on, and returns when the node
// is ready for them, or when the context ends, or after 90 s.
func Start(ctx context.Context, o Options) (*Runner, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	r := &Runner{
		options: o, client: client, known: informers.NewSharedInformerFactory(client, 0),
		stop: stop, workers: map[types.UID]*worker{},
	}
	err = r.start(running)
	if err == nil {
		err = r.enlist(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a node: %w", err), r.Stop())
	}
	return r, nil
}

func (r *Runner) start(ctx context.Context) error {
	if err := os.MkdirAll(r.Logs(), 0o755); err != nil {
		return err
	}
	var err error
	if r.network, err = newNetwork(r.options); err != nil {
		return err
	}
	// Asking for an informer is what makes the factory start it.
	r.known.Core().V1().ConfigMaps().Informer()
	r.known.Core().V1().Secrets().Informer()
	r.known.Core().V1().Services().Informer()
	r.known.Discovery().V1().EndpointSlices().Informer()
	for _, step := range []func(context.Context) error{r.serveNames, r.serveLogs, r.relayServices, r.watchPods} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	r.known.Start(ctx.Done())
	return nil
}

// enlist registers the Node once all is known that Pods ask for.
func (r *Runner) enlist(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if err := r.known.WaitForCacheSyncWithContext(ctx).AsError(); err != nil {
		return err
	}
	return r.register(ctx)
}

// Logs is the folder of the containers' output, NAMESPACE_POD_CONTAINER.log.
func (r *Runner) Logs() string { return filepath.Join(r.options.Dir, "logs") }

// Stop kills all containers and forgets the Pods; their objects stay as they are.
func (r *Runner) Stop() error {
	r.stop()
	r.known.Shutdown()
	r.all.Wait()
	return r.network.close()
}

// Signal sends a signal to the first process of a container that runs:
// SIGKILL is a crash, SIGSTOP a hang. The Pod's restart policy decides what
// comes then.
func (r *Runner) Signal(namespace, pod, container string, signal os.Signal) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		if w.pod.Namespace == namespace && w.pod.Name == pod {
			return w.signal(container, signal)
		}
	}
	return fmt.Errorf("no Pod %s/%s runs here", namespace, pod)
}

func (r *Runner) watchPods(ctx context.Context) error {
	_, err := r.known.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { r.see(ctx, object.(*corev1.Pod)) },
		UpdateFunc: func(_, object any) { r.see(ctx, object.(*corev1.Pod)) },
		DeleteFunc: func(object any) {
			if last, is := object.(cache.DeletedFinalStateUnknown); is {
				object = last.Obj
			}
			r.forget(object.(*corev1.Pod))
		},
	})
	return err
}

// see takes each version of each Pod.
func (r *Runner) see(ctx context.Context, pod *corev1.Pod) {
	switch {
	case pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil:
		r.all.Go(func() { r.bind(ctx, pod) })
	case pod.Spec.NodeName == r.options.Node:
		r.work(ctx, pod)
	}
}

// work hands a Pod to its worker, a new one if it has none and needs one.
func (r *Runner) work(ctx context.Context, pod *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w, known := r.workers[pod.UID]
	switch over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed; {
	case ctx.Err() != nil:
	case known:
		w.update(pod)
	case pod.DeletionTimestamp != nil:
		r.all.Go(func() { r.remove(ctx, pod) })
	case !over:
		w = newWorker(ctx, r, pod)
		r.workers[pod.UID] = w
		r.all.Go(w.run)
	}
}

// forget ends a Pod that is gone from the API without having waited for us.
func (r *Runner) forget(pod *corev1.Pod) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w, known := r.workers[pod.UID]; known {
		w.kill()
		delete(r.workers, pod.UID)
	}
}
