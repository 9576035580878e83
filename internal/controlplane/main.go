package controlplane

import (
	"context"
	"fmt"
	"os"
)

// Tests is what of testing.M is needed.
type Tests interface{ Run() int }

// Main is a TestMain: it starts a control plane for the tests of a package,
// sets plane, runs them and stops it. It gives the exit status.
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
