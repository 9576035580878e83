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

// Options configure a Kubelet.
type Options struct {
	Config *rest.Config // with the rights of a kubelet, a scheduler and a DNS server
	Node   string       // the name of the Node
	Dir    string       // for volumes, root filesystems and container logs (Dir/logs)
	// Images has the path of the binary for each image. The key is the name in the
	// Pod, with its tag, or without a tag for all tags.
	Images map[string]string
	// Bridge is the interface that Pods are connected to. Network is its address
	// and prefix length, for example 10.99.0.1/16. Pods get the addresses that
	// follow, and use port 53 of the first one as their DNS server.
	Bridge  string
	Network netip.Prefix
	// APIServer is the value of KUBERNETES_SERVICE_HOST and _PORT in Pods.
	APIServer netip.AddrPort
	Services  netip.Prefix // the range of ClusterIPs
	Log       *slog.Logger // nil: no log
}

// Kubelet is a running node.
type Kubelet struct {
	options   Options
	client    kubernetes.Interface
	informers informers.SharedInformerFactory
	network   *network
	stop      context.CancelFunc
	all       sync.WaitGroup // all goroutines

	mu      sync.Mutex
	workers map[types.UID]*podWorker
}

// Start registers the Node and runs its Pods until Stop. It returns when the node is
// ready; an error when the context ends before, or after 90 s.
func Start(ctx context.Context, o Options) (*Kubelet, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	client, err := kubernetes.NewForConfig(o.Config)
	if err != nil {
		return nil, fmt.Errorf("start a node: %w", err)
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	k := &Kubelet{
		options: o, client: client, informers: informers.NewSharedInformerFactory(client, 0),
		stop: stop, workers: map[types.UID]*podWorker{},
	}
	err = k.start(running)
	if err == nil {
		err = k.registerWhenSynced(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a node: %w", err), k.Stop())
	}
	return k, nil
}

func (k *Kubelet) start(ctx context.Context) error {
	if err := os.MkdirAll(k.Logs(), 0o755); err != nil {
		return err
	}
	var err error
	if k.network, err = newNetwork(k.options); err != nil {
		return err
	}
	// The factory starts only the informers that were requested.
	k.informers.Core().V1().ConfigMaps().Informer()
	k.informers.Core().V1().Secrets().Informer()
	k.informers.Core().V1().Services().Informer()
	k.informers.Discovery().V1().EndpointSlices().Informer()
	for _, step := range []func(context.Context) error{k.serveDNS, k.serveLogs, k.proxyServices, k.watchPods} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	k.informers.Start(ctx.Done())
	return nil
}

// registerWhenSynced registers the Node once the caches are filled.
func (k *Kubelet) registerWhenSynced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	if err := k.informers.WaitForCacheSyncWithContext(ctx).AsError(); err != nil {
		return err
	}
	return k.register(ctx)
}

// Logs is the folder of the container logs, NAMESPACE_POD_CONTAINER.log.
func (k *Kubelet) Logs() string { return filepath.Join(k.options.Dir, "logs") }

// Stop kills all containers. The Pod objects stay as they are.
func (k *Kubelet) Stop() error {
	k.stop()
	k.informers.Shutdown()
	k.all.Wait()
	return k.network.close()
}

// Signal sends a signal to the first process of a running container: SIGKILL is a
// crash, SIGSTOP a hang. The restart policy of the Pod applies.
func (k *Kubelet) Signal(namespace, pod, container string, signal os.Signal) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.workers {
		if w.pod.Namespace == namespace && w.pod.Name == pod {
			return w.signal(container, signal)
		}
	}
	return fmt.Errorf("no Pod %s/%s runs here", namespace, pod)
}

func (k *Kubelet) watchPods(ctx context.Context) error {
	_, err := k.informers.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { k.handlePod(ctx, object.(*corev1.Pod)) },
		UpdateFunc: func(_, object any) { k.handlePod(ctx, object.(*corev1.Pod)) },
		DeleteFunc: func(object any) {
			if last, is := object.(cache.DeletedFinalStateUnknown); is {
				object = last.Obj
			}
			k.forget(object.(*corev1.Pod))
		},
	})
	return err
}

// handlePod gets each new version of each Pod.
func (k *Kubelet) handlePod(ctx context.Context, pod *corev1.Pod) {
	switch {
	case pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil:
		k.all.Go(func() { k.bind(ctx, pod) })
	case pod.Spec.NodeName == k.options.Node:
		k.syncPod(ctx, pod)
	}
}

// syncPod updates the Pod's worker, or starts one if the Pod needs one.
func (k *Kubelet) syncPod(ctx context.Context, pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	w, known := k.workers[pod.UID]
	switch over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed; {
	case ctx.Err() != nil:
	case known:
		w.update(pod)
	case pod.DeletionTimestamp != nil:
		k.all.Go(func() { k.remove(ctx, pod) })
	case !over:
		w = newPodWorker(ctx, k, pod)
		k.workers[pod.UID] = w
		k.all.Go(w.run)
	}
}

// forget kills a Pod whose object was deleted without its grace period.
func (k *Kubelet) forget(pod *corev1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w, known := k.workers[pod.UID]; known {
		w.kill()
		delete(k.workers, pod.UID)
	}
}
