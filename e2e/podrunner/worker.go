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

// worker runs one Pod from its first to its last step.
type worker struct {
	runner *Runner
	pod    *corev1.Pod // as it was when it came; only its deletion changes what we do
	report *report
	dir    string // for volumes, specifications and roots

	life   context.Context // ends when the Pod is to be gone at once
	kill   context.CancelFunc
	wanted context.Context // ends, with life or before, when the Pod is to end
	ask    context.CancelFunc
	grace  time.Duration // how long it may take then; set before wanted ends
	asked  sync.Once

	sandbox *sandbox
	volumes *volumes

	mu      sync.Mutex
	running map[string]*instance // by container
}

func newWorker(ctx context.Context, r *Runner, pod *corev1.Pod) *worker {
	life, kill := context.WithCancel(ctx)
	wanted, ask := context.WithCancel(life)
	w := &worker{
		runner: r, pod: pod, report: newReport(pod),
		dir:  filepath.Join(r.options.Dir, "pods", string(pod.UID)),
		life: life, kill: kill, wanted: wanted, ask: ask, running: map[string]*instance{},
	}
	w.update(pod)
	return w
}

// update takes a newer version of the Pod.
func (w *worker) update(pod *corev1.Pod) {
	if pod.DeletionTimestamp == nil {
		return
	}
	w.asked.Do(func() {
		if seconds := pod.DeletionGracePeriodSeconds; seconds != nil {
			w.grace = time.Duration(*seconds) * time.Second
		}
		w.ask()
	})
}

// run blocks until nothing of the Pod is left on this machine.
func (w *worker) run() {
	defer w.kill()
	var publishing sync.WaitGroup
	published, end := context.WithCancel(w.life)
	publishing.Go(func() { w.report.publish(published, w.runner) })
	if w.prepare() == nil {
		w.containers()
	}
	<-w.wanted.Done() // containers that ended by themselves stay to be looked at
	end()
	publishing.Wait()
	w.clean()
	if w.life.Err() == nil {
		w.runner.remove(w.life, w.pod)
	}
}

// containers runs the init containers one after the other and then the
// others, until they have ended for good.
func (w *worker) containers() {
	var background, all sync.WaitGroup
	current, end := context.WithCancel(w.life)
	background.Go(func() { w.volumes.keepCurrent(current) })
	defer background.Wait()
	defer end()
	for i := range w.pod.Spec.InitContainers {
		if w.keep(&w.pod.Spec.InitContainers[i], initPolicy(w.pod.Spec.RestartPolicy)) != 0 {
			return
		}
	}
	for i := range w.pod.Spec.Containers {
		all.Go(func() { w.keep(&w.pod.Spec.Containers[i], w.pod.Spec.RestartPolicy) })
	}
	all.Wait()
}

// prepare makes network and volumes, and tries again until what they need is
// there. It gives up, with an error, only when the Pod is to end.
func (w *worker) prepare() error {
	const pause = 250 * time.Millisecond
	for said := ""; ; {
		err := w.tryPrepare()
		if err == nil {
			return nil
		}
		if said != err.Error() {
			said = err.Error()
			w.runner.options.Log.Info("a Pod waits", "pod", w.name(), "for", err)
			w.report.waiting("ContainerCreating", said)
		}
		select {
		case <-w.wanted.Done():
			return err
		case <-time.After(pause):
		}
	}
}

func (w *worker) tryPrepare() error {
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	if w.sandbox == nil {
		var err error
		if w.sandbox, err = w.runner.network.join(); err != nil {
			return err
		}
		w.report.addressed(w.sandbox.address, w.runner.options.Network.Addr())
	}
	if w.volumes == nil {
		w.volumes = newVolumes(w)
	}
	return w.volumes.write(w.life)
}

func (w *worker) name() string { return w.pod.Namespace + "/" + w.pod.Name }

func (w *worker) clean() {
	var err error
	if w.sandbox != nil {
		err = w.sandbox.close()
	}
	if err = errors.Join(err, os.RemoveAll(w.dir)); err != nil {
		w.runner.options.Log.Warn("a Pod left something behind", "pod", w.name(), "error", err)
	}
}

func (w *worker) signal(container string, signal os.Signal) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	running, is := w.running[container]
	if !is {
		return fmt.Errorf("container %s of Pod %s does not run", container, w.name())
	}
	return running.command.Process.Signal(signal)
}
