package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/migration-proxy/migration-proxy/e2e/wire"
	"github.com/migration-proxy/migration-proxy/e2e/world"
)

// TestBehindHAProxyIngress is the user's whole story behind a controller that nobody here
// wrote.
func TestBehindHAProxyIngress(t *testing.T) {
	t.Parallel()
	if !cluster.Local() {
		t.Skip("its image exists only on local clusters")
	}
	s := cluster.NewApp(t)
	s.BehindHAProxyIngress()
	wholeStory(t, s)
}

// TestBehindInstalledControllers is the same story, and all switches of an Ingress, behind
// the controllers that a cluster has, by their classes. deploy/kind.sh installs
// ingress-nginx and Traefik.
func TestBehindInstalledControllers(t *testing.T) {
	t.Parallel()
	installed := world.InstalledControllers()
	if len(installed) == 0 {
		t.Skip(world.ControllersVariable + " names none")
	}
	for class, address := range installed {
		for name, play := range map[string]func(*testing.T, *world.App){"story": wholeStory, "switches": allSwitches} {
			t.Run(class+" "+name, func(t *testing.T) {
				t.Parallel()
				s := cluster.NewApp(t)
				s.BehindInstalled(class, address)
				play(t, s)
			})
		}
	}
}

// wholeStory goes from opt-in to opt-out under 200 requests a second, and loses none.
func wholeStory(t *testing.T, s *world.App) {
	t.Helper()
	s.Ingress("shop")
	s.WaitForSplit(0)
	before := s.IngressJSON("shop")
	s.Configure(5, fastFallback)
	streams := twoStreams(s)

	s.OptIn("shop")
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(5)
	for _, percent := range []int{50, 100, 0, 50} {
		s.Proxy(t, "update", s.Service, fmt.Sprint(percent))
		s.ExpectSplit(float64(percent))
	}
	failForGET(s)
	s.WaitForPhase("shop", fallenBack)
	s.WaitForSplit(0)
	s.Fail(world.New, wire.Outage{})
	s.WaitForPhase("shop", migrating)
	s.WaitForSplit(50)

	s.OptOut("shop")
	s.WaitForIngressJSON("shop", before)
	s.WaitForSplit(0)
	for _, stream := range streams {
		report := stream.StopWithoutLoss()
		t.Logf("%d sent, %d failed, %d sent once more: %v", report.Sent, report.Failed, report.Reopened, report.Sides)
		require.NotEmpty(t, report.Sides[world.New])
	}
}

// failForGET makes new fail in a way that no client sees: the proxy asks old again for a
// GET, and a POST succeeds.
func failForGET(s *world.App) {
	s.Fail(world.New, wire.Outage{Mode: wire.Status, Status: http.StatusServiceUnavailable, Method: http.MethodGet})
}

// twoStreams are 200 requests a second, GET and POST.
func twoStreams(s *world.App) []*world.Stream {
	post := func(load *wire.Load) { load.Method, load.Body = http.MethodPost, "1" }
	return []*world.Stream{s.Stream(), s.Stream(post)}
}
