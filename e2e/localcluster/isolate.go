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
	// isolationVariable says how far Isolate has come: empty outside, then
	// isolationFirst for the first process inside, isolationInside for run.
	isolationVariable = "CONTROLPLANE_ISOLATION"
	isolationFirst    = "first"
	isolationInside   = "inside"

	wayOut = "hack/need.sh ip namespaces tells what to do"

	bridge = "pods"
	// scratch is memory that only the inside sees: nothing of it can stay.
	scratch = "/run"
)

// Network is what the inside of Isolate has: its address is the machine's, the
// others are for Pods.
var Network = netip.MustParsePrefix("10.99.0.1/16")

// Isolate runs the function in network, mount and PID namespaces of its own
// and gives its result as exit status. Outside, it starts this very program
// again inside them, with the same arguments and environment, and waits;
// inside, it calls run. So it must come first in main or TestMain, and what
// is before it happens twice:
//
//	func TestMain(m *testing.M) { os.Exit(localcluster.Isolate(m.Run)) }
//
// Inside, lo is up, 10.99.0.1 is the machine's address on a bridge, and there
// is no way out. However the outer process ends, nothing of the inside is
// left: no process, mount, interface or namespace. Who is not root becomes
// root of a user namespace, where the system allows that.
//
// It is also the entry of the processes that podrunner starts for containers.
func Isolate(run func() int) int {
	podrunner.Stage()
	switch os.Getenv(isolationVariable) {
	case isolationInside:
		return run()
	case isolationFirst:
		return report(first())
	default:
		return report(outside())
	}
}

func isolated() bool { return os.Getenv(isolationVariable) == isolationInside }

func report(status int, err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "isolate:", err)
		return 1
	}
	return status
}

// again is this program with its arguments, as the next step.
func again(step string) *exec.Cmd {
	next := exec.Command("/proc/self/exe", os.Args[1:]...)
	next.Args[0] = os.Args[0]
	next.Env = append(os.Environ(), isolationVariable+"="+step)
	next.Stdin, next.Stdout, next.Stderr = os.Stdin, os.Stdout, os.Stderr
	return next
}

// outside starts the first process inside and waits for it.
func outside() (int, error) {
	inside := again(isolationFirst)
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	if user := os.Geteuid(); user != 0 {
		inside.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		inside.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: user, Size: 1}}
		inside.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := controlplane.StartBound(inside); err != nil {
		return 0, fmt.Errorf("new namespaces: %w (%s)", err, wayOut)
	}
	defer passSignals(inside.Process)()
	var ended *exec.ExitError
	if err := inside.Wait(); err != nil && !errors.As(err, &ended) {
		return 0, err
	}
	return podrunner.ExitStatus(inside.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// first is process 1 inside: it prepares the namespaces, starts the program
// and buries what others leave, until the program has ended.
func first() (int, error) {
	if err := furnish(); err != nil {
		return 0, fmt.Errorf("%w (%s)", err, wayOut)
	}
	program := again(isolationInside)
	if err := program.Start(); err != nil {
		return 0, err
	}
	defer passSignals(program.Process)()
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

// passSignals passes on what ends programs, until the function that it gives
// is called.
func passSignals(to *os.Process) (stop func()) {
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

// furnish gives the namespaces what programs expect: their own /proc, an empty
// /run, lo, and the bridge.
func furnish() error {
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
		// With an address of its own it keeps that, whatever joins it.
		"link add "+bridge+" address 02:00:0a:63:00:01 type bridge",
		"addr add "+Network.String()+" dev "+bridge,
		"link set "+bridge+" up",
	)
	if err != nil {
		return fmt.Errorf("make the network: %w", err)
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
}
