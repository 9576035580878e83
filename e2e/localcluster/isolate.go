package localcluster

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/migration-proxy/migration-proxy/e2e/podrunner"
	"github.com/migration-proxy/migration-proxy/internal/controlplane"
)

const (
	// isolationVariable is the step of Isolate: empty outside, isolationFirst in
	// process 1 inside, isolationInside where run is called.
	isolationVariable = "CONTROLPLANE_ISOLATION"
	isolationFirst    = "first"
	isolationInside   = "inside"

	hint = "hack/need.sh ip namespaces says what to do"

	bridge = "pods"
	// scratch is a tmpfs inside the mount namespace; it ends with the namespace.
	scratch = "/run"
)

// Network is the network inside Isolate. Its address belongs to the machine, the
// others to Pods.
var Network = netip.MustParsePrefix("10.99.0.1/16")

// Isolate runs the function in network, mount and PID namespaces of its own and gives
// its result as exit status. Outside, it starts this program again inside the
// namespaces, with the same arguments and environment, and waits. Inside, it calls run.
// It must come first in main or TestMain, because everything before it runs twice:
//
//	func TestMain(m *testing.M) { os.Exit(localcluster.Isolate(m.Run)) }
//
// Inside, lo is up, 10.99.0.1 is the machine's address on a bridge, and there is no other
// network. When the outer process ends, even by SIGKILL, all processes, mounts and
// interfaces of the inside end. A user who is not root becomes root of a user namespace,
// where the system allows that.
//
// Isolate is also the entry point of the processes that podrunner starts for containers.
func Isolate(run func() int) int {
	podrunner.InitContainer()
	switch os.Getenv(isolationVariable) {
	case isolationInside:
		return run()
	case isolationFirst:
		return exitStatus(runInit())
	default:
		return exitStatus(runOutside())
	}
}

func isolated() bool { return os.Getenv(isolationVariable) == isolationInside }

func exitStatus(status int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate:", err)
		return 1
	}
	return status
}

// reexec is a command that runs this program again with its arguments, for the next
// step.
func reexec(step string) *exec.Cmd {
	next := exec.Command("/proc/self/exe", os.Args[1:]...)
	next.Args[0] = os.Args[0]
	next.Env = append(os.Environ(), isolationVariable+"="+step)
	next.Stdin, next.Stdout, next.Stderr = os.Stdin, os.Stdout, os.Stderr
	return next
}

// runOutside starts the init process inside the namespaces and waits for it.
func runOutside() (int, error) {
	inside := reexec(isolationFirst)
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if user := os.Geteuid(); user != 0 {
		inside.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		inside.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: user, Size: 1}}
		inside.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := controlplane.StartWithDeathSignal(inside); err != nil {
		return 0, fmt.Errorf("new namespaces: %w (%s)", err, hint)
	}
	defer forwardSignals(inside.Process)()
	var ended *exec.ExitError
	if err := inside.Wait(); err != nil && !errors.As(err, &ended) {
		return 0, err
	}
	return podrunner.ExitStatus(inside.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// runInit is process 1 inside the namespaces: it sets them up, starts the program and
// reaps orphaned processes until the program has ended.
func runInit() (int, error) {
	if err := setUpNamespaces(); err != nil {
		return 0, fmt.Errorf("%w (%s)", err, hint)
	}
	program := reexec(isolationInside)
	if err := program.Start(); err != nil {
		return 0, err
	}
	defer forwardSignals(program.Process)()
	for {
		var status syscall.WaitStatus
		switch dead, err := syscall.Wait4(-1, &status, 0, nil); {
		case err != nil && !errors.Is(err, syscall.EINTR):
			return 0, fmt.Errorf("wait: %w", err)
		case err == nil && dead == program.Process.Pid:
			return podrunner.ExitStatus(status), nil
		}
	}
}

// forwardSignals forwards terminating signals until the returned function is called.
func forwardSignals(to *os.Process) (stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	go func() {
		for s := range signals {
			_ = to.Signal(s) // an error means that it has ended
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// setUpNamespaces sets up /proc, an empty /run, the loopback interface and the bridge.
func setUpNamespaces() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", scratch, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", scratch, err)
	}
	err := podrunner.IP(
		"link set lo up",
		// A bridge with an explicit MAC address keeps it when interfaces join.
		"link add "+bridge+" address 02:00:0a:63:00:01 type bridge",
		"addr add "+Network.String()+" dev "+bridge,
		"link set "+bridge+" up",
	)
	if err != nil {
		return fmt.Errorf("make the network: %w", err)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}
