package podrunner

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// network gives each Pod an address and a network namespace.
type network struct {
	bridge string
	prefix netip.Prefix
	home   *os.File // the network namespace of this process

	mu   sync.Mutex
	last netip.Addr // the last address that a Pod got; no address is used twice
}

// sandbox is the network namespace of a Pod. It exists as long as this handle or a
// process in it.
type sandbox struct {
	address   netip.Addr
	namespace *os.File
	home      *os.File
}

func newNetwork(o Options) (*network, error) {
	home, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	return &network{bridge: o.Bridge, prefix: o.Network, home: home, last: o.Network.Addr().Next()}, nil
}

func (n *network) close() error {
	if n == nil {
		return nil
	}
	return n.home.Close()
}

func (n *network) next() netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last = n.last.Next()
	return n.last
}

// newSandbox makes a network namespace with an address on the bridge. All users may
// listen on ports below 1024 there, as with container runtimes.
func (n *network) newSandbox() (*sandbox, error) {
	s := &sandbox{address: n.next(), home: n.home}
	err := s.onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("new network namespace: %w", err)
		}
		var err error
		if s.namespace, err = os.Open("/proc/thread-self/ns/net"); err != nil {
			return err
		}
		return os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0)
	})
	if err == nil {
		err = n.connect(s)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("create network of a Pod: %w", err), s.close())
	}
	return s, nil
}

// connect connects the namespace to the bridge.
func (n *network) connect(s *sandbox) error {
	octets := s.address.As4()
	outside := fmt.Sprintf("pod%d-%d", octets[2], octets[3])
	err := IP(
		fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", outside, os.Getpid(), s.namespace.Fd()),
		fmt.Sprintf("link set %s master %s up", outside, n.bridge),
	)
	if err != nil {
		return err
	}
	return s.enter(func() error {
		return IP(
			"link set lo up",
			fmt.Sprintf("addr add %s/%d dev eth0", s.address, n.prefix.Bits()),
			"link set eth0 up",
			fmt.Sprintf("route add default via %s", n.prefix.Addr()),
		)
	})
}

// enter runs a function on a thread inside the namespace. Processes that the function
// starts are in the namespace as well.
func (s *sandbox) enter(run func() error) error {
	return s.onThread(func() error {
		if err := unix.Setns(int(s.namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return run()
	})
}

// onThread runs a function on a thread of its own and then moves that thread back to
// the namespace of this process. If that fails, the thread stays locked and ends with
// its goroutine.
func (s *sandbox) onThread(run func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := run()
		back := unix.Setns(int(s.home.Fd()), unix.CLONE_NEWNET)
		if back == nil {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, back)
	}()
	return <-done
}

func (s *sandbox) close() error {
	if s.namespace == nil {
		return nil
	}
	return s.namespace.Close()
}

// IP runs `ip COMMAND` for each command, in the network namespace of the calling thread.
func IP(commands ...string) error {
	batch := exec.Command("ip", "-batch", "-")
	batch.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	if output, err := batch.CombinedOutput(); err != nil {
		return fmt.Errorf("ip -batch: %w: %s(the commands: %s)", err, output, strings.Join(commands, "; "))
	}
	return nil
}
