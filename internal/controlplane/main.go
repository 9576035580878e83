package controlplane

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
func Main(m Tests, o Options, plane **ControlPlane) int { return 1 }
