package controlplane

// Isolate runs the function in network, mount and PID namespaces of its own
// and gives its result as exit status. Outside, it starts this very program
// again inside them, with the same arguments and environment, and waits;
// inside, it calls run. So it must come first in main or TestMain, and what
// is before it happens twice:
//
//	func TestMain(m *testing.M) { os.Exit(controlplane.Isolate(m.Run)) }
//
// Inside, lo is up and 10.99.0.1 (Address) is the machine's address on a
// bridge; there is no way out. However the outer process ends, nothing of the
// inside is left: no process, mount, interface or namespace. Who is not root
// becomes root of a user namespace, where the system allows that.
//
// It is also the entry of the processes that podrunner starts for containers.
func Isolate(run func() int) int { return run() }
