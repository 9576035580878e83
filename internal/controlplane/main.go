package controlplane

import (
	"context"
	"fmt"
	"os"
)

// Tests is the part of testing.M that Main uses.
type Tests interface{ Run() int }

// Main is for TestMain: it starts a control plane for the tests of a package, sets plane,
// runs the tests and stops the control plane. It gives the exit status.
//
//	var plane *controlplane.ControlPlane
//
//	func TestMain(m *testing.M) {
//		os.Exit(controlplane.Main(m, controlplane.Options{}, &plane))
//	}
func Main(m Tests, o Options, plane **ControlPlane) int {
	started, err := Start(context.Background(), o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	*plane = started
	status := m.Run()
	if err := started.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the control plane:", err)
		return 1
	}
	return status
}
