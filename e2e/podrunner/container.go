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
)

// instance is one life of a container.
type instance struct {
	command *exec.Cmd
	ended   chan struct{} // closed when its first process, and so all, has ended
}

func (i *instance) code() int {
	<-i.ended
	return ExitStatus(i.command.ProcessState.Sys().(syscall.WaitStatus))
}

// ExitStatus is a shell's $?: for who died of a signal, 128 and its number.
func ExitStatus(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// initPolicy: an init container that succeeded is never repeated.
func initPolicy(policy corev1.RestartPolicy) corev1.RestartPolicy {
	if policy == corev1.RestartPolicyAlways {
		return corev1.RestartPolicyOnFailure
	}
	return policy
}

// keep runs a container again and again, until it has ended for good, and
// gives its last exit status.
func (w *worker) keep(c *corev1.Container, policy corev1.RestartPolicy) int {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		code, err := w.once(c)
		switch {
		case w.wanted.Err() != nil:
			return code
		case err != nil:
			w.runner.options.Log.Info("a container waits", "pod", w.name(), "container", c.Name, "for", err)
			w.report.cannotStart(c.Name, err)
		case policy == corev1.RestartPolicyNever, policy == corev1.RestartPolicyOnFailure && code == 0:
			return code
		default:
			w.report.waitsAfterEnd(c.Name)
		}
		wait(w.wanted, pause)
	}
}

// Pauses before a container is started again, shorter than Kubernetes' 10 s
// to 5 minutes: here somebody waits for the end of a test.
const firstPause, longestPause = 250 * time.Millisecond, 5 * time.Second

// once starts a container, watches over it and ends it when that is due. An
// error means that it could not be started.
func (w *worker) once(c *corev1.Container) (int, error) {
	if w.wanted.Err() != nil {
		return -1, nil
	}
	running, err := w.launch(c)
	if err != nil {
		return -1, err
	}
	w.report.runs(c.Name)
	probing, stop := context.WithCancel(w.life)
	unhealthy := w.watchOver(probing, c, running)
	select {
	case <-running.ended:
	case <-w.wanted.Done():
		w.halt(c, running, w.grace)
	case <-unhealthy:
		w.halt(c, running, time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds)*time.Second)
	}
	stop()
	code := running.code()
	w.forget(c.Name)
	w.report.over(c.Name, code)
	return code, nil
}

// launch starts the first process of a container, in namespaces of its own
// and in the network of its Pod.
func (w *worker) launch(c *corev1.Container) (*instance, error) {
	specification, err := w.specify(c)
	if err != nil {
		return nil, err
	}
	log := w.runner.logFile(w.pod.Namespace, w.pod.Name, c.Name)
	output, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	command := exec.Command("/proc/self/exe")
	command.Stdout, command.Stderr = output, output
	command.Env = []string{stageVariable + "=" + specification}
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	if err := w.sandbox.enter(command.Start); err != nil {
		return nil, fmt.Errorf("start container %s: %w", c.Name, err)
	}
	running := &instance{command: command, ended: make(chan struct{})}
	go func() {
		_ = command.Wait() // its status is asked for by code
		close(running.ended)
	}()
	w.remember(c.Name, running)
	return running, nil
}

// specify writes the container's stage to a file and gives its path.
func (w *worker) specify(c *corev1.Container) (string, error) {
	s, err := w.stageOf(c)
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
	path := filepath.Join(w.dir, "stage-"+c.Name+".json")
	return path, os.WriteFile(path, text, 0o600)
}

// halt ends a container as Kubernetes does: preStop, SIGTERM, and SIGKILL when
// the grace period, which both share, is over.
func (w *worker) halt(c *corev1.Container, running *instance, grace time.Duration) {
	ctx, cancel := context.WithTimeout(w.life, grace)
	defer cancel()
	if err := w.preStop(ctx, c, running); err != nil {
		w.runner.options.Log.Warn("preStop failed", "pod", w.name(), "container", c.Name, "error", err)
	}
	_ = running.command.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-running.ended:
	case <-ctx.Done():
		_ = running.command.Process.Kill()
	}
}

func (w *worker) preStop(ctx context.Context, c *corev1.Container, running *instance) error {
	if c.Lifecycle == nil || c.Lifecycle.PreStop == nil {
		return nil
	}
	watched, cancel := context.WithCancel(ctx) // a container that ends needs no more
	defer cancel()
	go func() {
		defer cancel()
		select {
		case <-running.ended:
		case <-watched.Done():
		}
	}()
	switch hook := c.Lifecycle.PreStop; {
	case hook.Sleep != nil:
		wait(watched, time.Duration(hook.Sleep.Seconds)*time.Second)
		return nil
	case hook.Exec != nil:
		return running.exec(watched, hook.Exec.Command)
	case hook.HTTPGet != nil:
		return w.get(watched, c, hook.HTTPGet)
	}
	return errors.New("a kind of hook that is not known here")
}

// exec runs a command inside the container. The context ends all that it
// started: nsenter forks, and what it leaves would go on, and hold our pipe.
func (i *instance) exec(ctx context.Context, command []string) error {
	arguments := append([]string{
		"--target", fmt.Sprint(i.command.Process.Pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--",
	}, command...)
	inside := exec.CommandContext(ctx, "nsenter", arguments...)
	inside.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	inside.Cancel = func() error { return syscall.Kill(-inside.Process.Pid, syscall.SIGKILL) }
	inside.WaitDelay = time.Second // for what left the group
	if output, err := inside.CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", command, err, output)
	}
	return nil
}

func (w *worker) remember(container string, running *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running[container] = running
}

func (w *worker) forget(container string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, container)
}
