package podrunner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// podWorker runs one Pod from its start to its end.
type podWorker struct {
	kubelet *Kubelet
	pod     *corev1.Pod // the first version; of later ones only the deletion matters
	status  *statusManager
	dir     string // for volumes, container configs and root filesystems

	alive       context.Context // ends when the Pod must be killed
	kill        context.CancelFunc
	running     context.Context // ends when the Pod has to terminate; not later than alive
	terminate   context.CancelFunc
	gracePeriod time.Duration // set before running ends
	terminating sync.Once

	sandbox *sandbox
	volumes *volumes

	mu        sync.Mutex
	processes map[string]*containerProcess // by container
}

func newPodWorker(ctx context.Context, k *Kubelet, pod *corev1.Pod) *podWorker {
	alive, kill := context.WithCancel(ctx)
	running, terminate := context.WithCancel(alive)
	w := &podWorker{
		kubelet: k, pod: pod, status: newStatusManager(pod),
		dir:   filepath.Join(k.options.Dir, "pods", string(pod.UID)),
		alive: alive, kill: kill, running: running, terminate: terminate, processes: map[string]*containerProcess{},
	}
	w.update(pod)
	return w
}

// update gets a newer version of the Pod. A deletion terminates it.
func (w *podWorker) update(pod *corev1.Pod) {
	if pod.DeletionTimestamp == nil {
		return
	}
	w.terminating.Do(func() {
		if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
			w.gracePeriod = time.Duration(*seconds) * time.Second
		}
		w.terminate()
	})
}

// run blocks until nothing of the Pod is left on this machine.
func (w *podWorker) run() {
	defer w.kill()
	var publishing sync.WaitGroup
	published, end := context.WithCancel(w.alive)
	publishing.Go(func() { w.status.publish(published, w.kubelet) })
	if w.prepare() == nil {
		w.runContainers()
	}
	<-w.running.Done() // a Pod whose containers have ended stays until it is deleted
	end()
	publishing.Wait()
	w.clean()
	if w.alive.Err() == nil {
		w.kubelet.remove(w.alive, w.pod)
	}
}

// runContainers runs the init containers one after the other and then all others
// at once. It blocks until none of them will be restarted.
func (w *podWorker) runContainers() {
	var background, all sync.WaitGroup
	current, end := context.WithCancel(w.alive)
	background.Go(func() { w.volumes.keepUpToDate(current) })
	defer background.Wait()
	defer end()
	for i := range w.pod.Spec.InitContainers {
		if w.runContainer(&w.pod.Spec.InitContainers[i], initPolicy(w.pod.Spec.RestartPolicy)) != 0 {
			return
		}
	}
	for i := range w.pod.Spec.Containers {
		all.Go(func() { w.runContainer(&w.pod.Spec.Containers[i], w.pod.Spec.RestartPolicy) })
	}
	all.Wait()
}

// prepare creates network and volumes. It retries until it succeeds, and gives an
// error only when the Pod has to terminate.
func (w *podWorker) prepare() error {
	const pause = 250 * time.Millisecond
	for said := ""; ; {
		err := w.tryPrepare()
		if err == nil {
			return nil
		}
		if said != err.Error() {
			said = err.Error()
			w.kubelet.options.Log.Info("pod waits", "pod", w.name(), "error", err)
			w.status.waiting("ContainerCreating", said)
		}
		select {
		case <-w.running.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (w *podWorker) tryPrepare() error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	if w.sandbox == nil {
		var err error
		if w.sandbox, err = w.kubelet.network.newSandbox(); err != nil {
			return err
		}
		w.status.addressed(w.sandbox.address, w.kubelet.options.Network.Addr())
	}
	if w.volumes == nil {
		w.volumes = newVolumes(w)
	}
	return w.volumes.write(w.alive)
}

func (w *podWorker) name() string { return w.pod.Namespace + "/" + w.pod.Name }

func (w *podWorker) clean() {
	var err error
	if w.sandbox != nil {
		err = w.sandbox.close()
	}
	if err = errors.Join(err, os.RemoveAll(w.dir)); err != nil {
		w.kubelet.options.Log.Warn("pod is not removed completely", "pod", w.name(), "error", err)
	}
}

func (w *podWorker) signal(container string, signal os.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	process, is := w.processes[container]
	if !is {
		return fmt.Errorf("container %s of Pod %s does not run", container, w.name())
	}
	return process.command.Process.Signal(signal)
}
