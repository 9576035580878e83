package podrunner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/migration-proxy/migration-proxy/internal/pause"
)

// containerProcess is the first process of a container. All others of the container
// end with it.
type containerProcess struct {
	command *exec.Cmd
	ended   chan struct{} // closed when it has ended
}

func (p *containerProcess) code() int {
	<-p.ended
	return ExitStatus(p.command.ProcessState.Sys().(syscall.WaitStatus))
}

// ExitStatus gives the status as a shell's $? does: 128 plus the number of the signal
// for a process that a signal has ended.
func ExitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// initPolicy is the restart policy of init containers: one that succeeded is not
// restarted.
func initPolicy(policy corev1.RestartPolicy) corev1.RestartPolicy {
	if policy == corev1.RestartPolicyAlways {
		return corev1.RestartPolicyOnFailure
	}
	return policy
}

// runContainer runs a container and restarts it as the policy says. It gives the last
// exit status.
func (w *podWorker) runContainer(c *corev1.Container, policy corev1.RestartPolicy) int {
	for backoff := firstPause; ; backoff = min(2*backoff, longestPause) {
		code, err := w.runOnce(c)
		switch {
		case w.running.Err() != nil:
			return code
		case err != nil:
			w.kubelet.options.Log.Info("container cannot start", "pod", w.name(), "container", c.Name, "error", err)
			w.status.cannotStart(c.Name, err)
		case policy == corev1.RestartPolicyNever, policy == corev1.RestartPolicyOnFailure && code == 0:
			return code
		default:
			w.status.waitsAfterEnd(c.Name)
		}
		pause.For(w.running, backoff)
	}
}

// The pauses before a restart are shorter than Kubernetes' 10 s to 5 minutes, so that
// tests end sooner.
const firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second

// runOnce starts a container, probes it, and ends it when the Pod terminates or a
// probe fails. It gives an error if the container could not be started.
func (w *podWorker) runOnce(c *corev1.Container) (int, error) {
	if w.running.Err() != nil {
		return -1, nil
	}
	process, err := w.start(c)
	if err != nil {
		return -1, err
	}
	w.status.runs(c.Name)
	probing, stop := context.WithCancel(w.alive)
	unhealthy := w.startProbes(probing, c, process)
	select {
	case <-process.ended:
	case <-w.running.Done():
		w.killContainer(c, process, w.gracePeriod)
	case <-unhealthy:
		w.killContainer(c, process, time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds)*time.Second)
	}
	stop()
	code := process.code()
	w.removeProcess(c.Name)
	w.status.over(c.Name, code)
	return code, nil
}

// start starts the first process of a container, in namespaces of its own and in
// the network of its Pod.
func (w *podWorker) start(c *corev1.Container) (*containerProcess, error) {
	specification, err := w.writeConfig(c)
	if err != nil {
		return nil, err
	}
	log := w.kubelet.logFile(w.pod.Namespace, w.pod.Name, c.Name)
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command := exec.Command("/proc/self/exe")
	command.Stdout, command.Stderr = output, output
	command.Env = []string{containerVariable + "=" + specification}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := w.sandbox.enter(command.Start); err != nil {
		return nil, fmt.Errorf("start container %s: %w", c.Name, err)
	}
	process := &containerProcess{command: command, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // code reads the status
		close(process.ended)
	}()
	w.addProcess(c.Name, process)
	return process, nil
}

// writeConfig writes the container's config to a file and gives its path.
func (w *podWorker) writeConfig(c *corev1.Container) (string, error) {
	s, err := w.containerConfig(c)
	if err != nil {
		return "", err
	}
	if s.Root, err = os.MkdirTemp(w.dir, "root-"); err != nil {
		return "", err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.dir, "container-"+c.Name+".json")
	return path, os.WriteFile(path, text, 0o600)
}

// killContainer ends a container as Kubernetes does: preStop, SIGTERM, and SIGKILL
// when the grace period, which starts with preStop, is over.
func (w *podWorker) killContainer(c *corev1.Container, process *containerProcess, grace time.Duration) {
	ctx, cancel := context.WithTimeout(w.alive, grace)
	defer cancel()
	if err := w.preStop(ctx, c, process); err != nil {
		w.kubelet.options.Log.Warn("preStop hook failed", "pod", w.name(), "container", c.Name, "error", err)
	}
	_ = process.command.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-process.ended:
	case <-ctx.Done():
		_ = process.command.Process.Kill()
	}
}

func (w *podWorker) preStop(ctx context.Context, c *corev1.Container, process *containerProcess) error {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return nil
	}
	watched, cancel := context.WithCancel(ctx) // ends when the container has ended
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-process.ended:
		case <-watched.Done():
		}
	}()
	switch hook := c.Lifecycle.PreStop; {
	case hook.Sleep != nil:
		pause.For(watched, time.Duration(hook.Sleep.Seconds)*time.Second)
		return nil
	case hook.Exec != nil:
		return process.exec(watched, hook.Exec.Command)
	case hook.HTTPGet != nil:
		return w.get(watched, c, hook.HTTPGet)
	}
	return errors.New("this kind of hook is not supported")
}

// exec runs a command inside the container. When the context ends, it kills the whole
// process group: nsenter forks, and a remaining child would keep our pipe open.
func (p *containerProcess) exec(ctx context.Context, command []string) error {
	arguments := append([]string{
		"--target", fmt.Sprint(p.command.Process.Pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--",
	}, command...)
	inside := exec.CommandContext(ctx, "nsenter", arguments...)
	inside.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	inside.Cancel = func() error { return syscall.Kill(-inside.Process.Pid, syscall.SIGKILL) }
	inside.WaitDelay = time.Second // for processes that left the group
	if output, err := inside.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", command, err, output)
	}
	return nil
}

func (w *podWorker) addProcess(container string, process *containerProcess) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.processes[container] = process
}

func (w *podWorker) removeProcess(container string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.processes, container)
}
